export { ensureFirstKey } from "./auth.ts";
export { createHttp, listen } from "./server.ts";
