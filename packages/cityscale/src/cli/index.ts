export { type BacktestReport, backtestSchema, backtestSchemaJson } from "./backtest-schema.ts";
export { type Io, processIo } from "./io.ts";
export { main } from "./program.ts";
export { stockOutBacktestSchema, stockOutSchemaJson } from "./stock-out-schema.ts";
