import { type WasmMemory, wasmApi } from "@cityscale/trees/wasm";
import { ForecastError } from "../errors.ts";
import type { Kernels } from "./kernels.ts";
import { PlainKernels } from "./plain-kernels.ts";
import { WasmKernels } from "./wasm-kernels.ts";

const PAGE = 65536;

/** Hands out places in a block of memory that is still to be made. */
export class Plan {
  #size = 0;

  /** Byte offset of room for so many bytes. */
  take(bytes: number): number {
    const at = this.#size;
    this.#size += Math.ceil(bytes / 64) * 64;
    return at;
  }

  get bytes(): number {
    return this.#size;
  }
}

/** A block of memory that kernels work on; can be posted to workers where it is shared. */
export interface KernelMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  /** Undefined: plain kernels. */
  readonly wasm: WasmMemory | undefined;
}

/**
 * @param plain leave WebAssembly alone
 * @throws ForecastError `data` where it would be over 4 GiB
 */
export function allocate(plan: Plan, shared: boolean, plain: boolean): KernelMemory {
  const pages = Math.max(1, Math.ceil(plan.bytes / PAGE));
  if (pages > 65_536) {
    throw new ForecastError(
      "data",
      `the rows need ${Math.ceil(plan.bytes / 2 ** 20)} MiB, a network has 4096`,
    );
  }
  if (plain || !wasmApi) {
    const bytes = pages * PAGE;
    return { buffer: shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes), wasm: undefined };
  }
  const wasm = new wasmApi.Memory({ initial: pages, maximum: pages, shared });
  return { buffer: wasm.buffer, wasm };
}

export function kernelsFor(memory: KernelMemory): Kernels {
  return memory.wasm ? new WasmKernels(memory.wasm) : new PlainKernels(memory.buffer);
}
