import { type DestinationStream, pino } from "pino";

export interface Log {
  debug(fields: Record<string, unknown>, message: string): void;
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
  error(fields: Record<string, unknown>, message: string): void;
  child(fields: Record<string, unknown>): Log;
}

export const logLevels = ["silent", "error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof logLevels)[number];

/** JSON lines on standard error, so that standard output stays a command's answer. Secrets are redacted. */
export function createLog(level: LogLevel = "info", destination?: DestinationStream): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: ["key", "token", "password", "authorization", "*.key", "*.token", "*.authorization"] },
    },
    destination ?? pino.destination({ dest: 2, sync: true }),
  );
}

/** A log that keeps nothing; for tests and for rooms used as libraries. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};
