export * from "./city.ts";
export * from "./duration.ts";
export * from "./grid.ts";
export * from "./local-time.ts";
export * from "./pages.ts";
export * from "./stock-out-targets.ts";
export * from "./vocabulary.ts";
