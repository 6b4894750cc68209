import { CityScaleError } from "../core/index.ts";

/** npm passes on the Ctrl-C that the terminal has already sent: the same one, twice, within moments. */
const echoMs = 400;

/**
 * Aborts on Ctrl-C or SIGTERM; a second one ends the process at once with 130.
 * `Symbol.dispose` stops listening.
 */
export function listenForStop(
  onFirst?: (signal: NodeJS.Signals) => void,
): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  let firstAt: number | null = null;
  const stop = (name: NodeJS.Signals) => {
    if (firstAt === null) {
      firstAt = performance.now();
      onFirst?.(name);
      controller.abort(new CityScaleError("ABORTED", `stopped by ${name}`));
    } else if (performance.now() - firstAt > echoMs) {
      process.exit(130);
    }
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      process.off("SIGINT", stop);
      process.off("SIGTERM", stop);
    },
  };
}
