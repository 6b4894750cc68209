import { CityScaleError, isAbort } from "../core/index.ts";

/** What a command's exit code means; shown by `cityscale --help`. */
export const exitCodes = { done: 0, failed: 1, usage: 2, refused: 3, interrupted: 130 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export const exitCodeHelp = `Exit codes:
  0    done
  1    failed: the work was begun and did not succeed
  2    wrong use: an option, a setting, a file or a name that does not exist
  3    refused as things stand: nothing to do, not ready yet, or the data folder is in use
  130  interrupted`;

/** What the user wrote cannot be done; the message says what was expected. */
export class UsageError extends Error {
  readonly hint: string | undefined;
  constructor(message: string, hint?: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "UsageError";
    this.hint = hint;
  }
}

export function exitCodeOf(error: unknown): ExitCode {
  if (isAbort(error)) return exitCodes.interrupted;
  if (error instanceof UsageError) return exitCodes.usage;
  if (!(error instanceof CityScaleError)) return exitCodes.failed;
  if (error.status === 409 || error.status === 503) return exitCodes.refused;
  return error.status < 409 ? exitCodes.usage : exitCodes.failed;
}
