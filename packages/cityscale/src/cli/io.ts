/** Where a command writes; a test passes its own. */
export interface Io {
  /** The command's answer. */
  out(text: string): void;
  /** Progress, notes and errors. */
  err(text: string): void;
  /** True when a person watches `err`: progress may rewrite its lines. */
  readonly live: boolean;
  /** Width of the terminal in characters. */
  readonly columns: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The process's own streams. A reader that goes away (`| head`) ends the output, not the program. */
export function processIo(): Io {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    live: process.stderr.isTTY === true && process.env["TERM"] !== "dumb",
    get columns() {
      return process.stderr.columns ?? 100;
    },
    env: process.env,
  };
}
