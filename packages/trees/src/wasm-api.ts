/** The part of the WebAssembly JavaScript API that is used here, typed for projects without the DOM library. */

export interface WasmMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
}

export interface WasmApi {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (
    module: object,
    imports: Record<string, Record<string, WasmMemory>>,
  ) => { readonly exports: Readonly<Record<string, unknown>> };
  readonly CompileError: new () => Error;
}

/** Undefined where the platform has none. */
export const wasmApi = (globalThis as { readonly WebAssembly?: WasmApi }).WebAssembly;
