// A real Herald for the tests, which may be killed and started again, and tokens for it.
import { spawn } from "node:child_process";
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const SECRET = "a secret of the tests, long enough for HS256";

/** A token of that user, for so many seconds; `more`: other claims. */
export function token(user, seconds = 3600, more = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp: now + seconds, ...more })}`;
  return `${body}.${createHmac("sha256", SECRET).update(body).digest("base64url")}`;
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

export class Herald {
  /** `dev`: takes a user's id on its word; else tokens, from browsers of `origins`. */
  static async start(binary, { dev = true, origins = [], env = {} } = {}) {
    const folder = await mkdtemp(join(tmpdir(), "herald-"));
    const herald = new Herald();
    Object.assign(herald, { binary, folder, dev, port: await freePort() });
    const production = {
      HERALD_AUTH_HS256_SECRET: SECRET,
      HERALD_MASTER_KEY: Buffer.alloc(32, 7).toString("base64"),
      HERALD_SERVER_CORS_ORIGINS: origins.join(","),
      HERALD_MAIL_OUTBOX: "true",
    };
    herald.env = { PATH: process.env.PATH, HERALD_FETCH_ALLOW_PRIVATE: "true", ...(dev ? {} : production), ...env };
    await herald.run();
    return herald;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async run() {
    const args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--data-dir", this.folder, ...(this.dev ? ["--dev"] : [])];
    this.child = spawn(this.binary, args, { env: this.env, stdio: ["ignore", "ignore", "pipe"] });
    this.log = [];
    createInterface({ input: this.child.stderr }).on("line", (line) => this.log.push(line));
    for (let tries = 0; ; tries++) {
      try {
        await fetch(`${this.url}/grpc.health.v1.Health/Check`, { method: "POST" });
        return;
      } catch (error) {
        if (tries > 400 || this.child.exitCode !== null) {
          throw new Error(`Herald does not start: ${this.log.join("\n")}`, { cause: error });
        }
        await new Promise((done) => setTimeout(done, 25));
      }
    }
  }

  async kill() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill("SIGKILL");
      await once(this.child, "exit");
    }
  }

  async end() {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** An HTTP server that answers as it is told, and counts who asks. */
export class Peer {
  static async start(answer) {
    const peer = new Peer();
    Object.assign(peer, { answer, asked: [], bodies: [] });
    peer.server = createServer((request, response) => {
      response.setHeader("Access-Control-Allow-Origin", "*");
      response.setHeader("Access-Control-Allow-Headers", "*");
      response.setHeader("Access-Control-Expose-Headers", "*");
      if (request.method === "OPTIONS") {
        response.writeHead(204).end();
        return;
      }
      const parts = [];
      request.on("data", (part) => parts.push(part)).on("end", () => peer.bodies.push(Buffer.concat(parts).toString("latin1")));
      peer.asked.push(request.url);
      peer.answer(response, request, peer.asked.length);
    }).listen(0, "127.0.0.1");
    await once(peer.server, "listening");
    peer.url = `http://127.0.0.1:${peer.server.address().port}`;
    return peer;
  }

  end() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** A website to run campaigns about. */
export const website = () =>
  Peer.start((response) => {
    response.setHeader("Content-Type", "text/html");
    const text = "We make sensors for greenhouses. Growers of tomatoes save water with them.";
    response.end(`<html><head><title>Acme Sensors</title></head><body><h1>Acme Sensors</h1><p>${text}</p></body></html>`);
  });

/** Signs tokens as Clerk does, and publishes its key. */
export class Issuer {
  static async start() {
    const issuer = new Issuer();
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const key = { ...publicKey.export({ format: "jwk" }), kid: "one", use: "sig", alg: "RS256" };
    issuer.peer = await Peer.start((response, request) => {
      if (request.url === "/keys") {
        response.setHeader("Content-Type", "application/json");
        response.end(JSON.stringify({ keys: [key] }));
        return;
      }
      const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss: issuer.url, sub: "user_clerk", iat: now, nbf: now - 5, exp: now + 60 };
      const body = `${part({ alg: "RS256", typ: "JWT", kid: "one" })}.${part(claims)}`;
      response.end(`${body}.${sign("sha256", Buffer.from(body), privateKey).toString("base64url")}`);
    });
    return issuer;
  }

  get url() {
    return this.peer.url;
  }

  get env() {
    return {
      HERALD_AUTH_HS256_SECRET: "",
      HERALD_AUTH_JWKS_URL: `${this.url}/keys`,
      HERALD_AUTH_ISSUER: this.url,
    };
  }
}
