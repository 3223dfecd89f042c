// Who am I, over TLS: node grpc_js_tls.mjs HOST:PORT CA [CERTIFICATE KEY]
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const [address, ca, certificate, key] = process.argv.slice(2);
const definition = protoLoader.loadSync("herald/v1/tenant.proto", { includeDirs: ["../../proto"] });
const { herald } = grpc.loadPackageDefinition(definition);
const read = (path) => (path ? readFileSync(path) : null);
const credentials = grpc.credentials.createSsl(read(ca), read(key), read(certificate));
const client = new herald.v1.TenantService(address, credentials);
const metadata = new grpc.Metadata();
metadata.set("x-user-id", "user_a");
client.getCaller({}, metadata, { deadline: Date.now() + 5000 }, (error, answer) => {
  if (error) {
    console.error(error.message);
    process.exit(1);
  }
  console.log(answer.caller.tenantId);
  process.exit(0);
});
