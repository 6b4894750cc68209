/** What number kernels in WebAssembly and worker threads are made with, for the packages beside this one. */
export { Aborted, abortTeam, control, Team } from "./team.ts";
export { type WasmMemory, wasmApi } from "./wasm-api.ts";
export { assemble, Body, type FunctionSpec, type } from "./wasm-writer.ts";
