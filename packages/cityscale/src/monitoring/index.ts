export {
  type AnomalyReport,
  anomalyTables,
  findAnomalies,
  judgedAnomalies,
  openAnomalies,
} from "./anomalies.ts";
export { type DaySums, daySums, type ForecastRelation } from "./day-sums.ts";
export { type DayKind, type JudgedDays, judgeDays, windowDays } from "./judge-days.ts";
export { type LiveScore, liveScores, outcomeTables, scoreDays, settleAfterMs } from "./outcomes.ts";
export { type MeasureHealth, type QualityReport, qualityReport } from "./quality.ts";
export {
  type RiskJudgement,
  RiskOutcomes,
  type RiskPeriod,
  type RiskScore,
  riskPeriods,
  riskScores,
  riskScoreTables,
  riskSettleMs,
  risksScoredAt,
  scoreRisks,
  type VersionThresholds,
} from "./risk-scores.ts";
