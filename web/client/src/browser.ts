/** All of the client and of the API, for pages without a build. */
export * from "./index.js";
export * from "./pb.js";
