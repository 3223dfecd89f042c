// The package as `npm pack` makes it: what publint and arethetypeswrong say of it, how large it comes to a browser, and that it knows
// what docs/api.md knows.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompressSync, constants } from "node:zlib";
import { build } from "esbuild";
import { REASONS } from "../dist/index.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "herald-client-"));

const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], { cwd: root });
const [{ filename, files }] = JSON.parse(stdout);
const tarball = join(folder, filename);
assert.ok(files.every(({ path }) => /^(dist\/|README\.md$|package\.json$)/.test(path)));
await run("npx", ["publint", "run", tarball, "--strict"], { cwd: root });
// It is for those who import: there is no CommonJS.
await run("npx", ["attw", tarball, "--profile", "esm-only"], { cwd: root });
await rm(folder, { recursive: true });
console.log(`${files.length} files; publint and arethetypeswrong have nothing against it`);

/** In KB, minified, brotli 11, as it comes with React's page. */
async function size(service, file) {
  const contents = `import { createHeraldTransport, HeraldError, serviceClient } from "./dist/index.js";
    import { ${service} } from "./dist/gen/herald/v1/${file}_pb.js";
    globalThis.client = [createHeraldTransport, HeraldError, serviceClient, ${service}];`;
  const bundle = await build({
    stdin: { contents, resolveDir: root },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  const options = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
  return brotliCompressSync(bundle.outputFiles[0].contents, options).length / 1000;
}
const MOST = 35;
for (const service of ["TenantService", "CacheService", "MailboxService", "AgentService", "WorkflowService"]) {
  const kb = await size(service, service.replace("Service", "").toLowerCase());
  console.log(`a client of ${service}: ${kb.toFixed(1)} KB`);
  assert.ok(kb <= MOST, `${service}: more than ${MOST} KB`);
}

const manual = await readFile(join(root, "../../docs/api.md"), "utf8");
const rows = manual.split("\n").filter((line) => /^\| [A-Z_]+ \| [A-Z]/.test(line));
assert.equal(rows.length, Object.keys(REASONS).length);
for (const row of rows) {
  const [, code, reasons] = row.split("|").map((cell) => cell.trim());
  const named = reasons.replaceAll(/`[^`]*`/g, "").match(/\b[A-Z]+(_[A-Z]+)+\b|\b(STARTING|INTERNAL)\b/g);
  assert.deepEqual(
    [...REASONS[code]].sort(),
    [...new Set(named)].filter((name) => name !== code || REASONS[code].includes(name)).sort(),
    code,
  );
}
console.log(`${Object.values(REASONS).flat().length} reasons, as docs/api.md has them`);
