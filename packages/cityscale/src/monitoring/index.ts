export { type LiveScore, liveScores, outcomeTables, scoreDays, settleAfterMs } from "./outcomes.ts";
export { type MeasureHealth, type QualityReport, qualityReport } from "./quality.ts";
