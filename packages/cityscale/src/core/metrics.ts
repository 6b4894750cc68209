import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** The program's metrics. Every name that CityScale exports is declared here and nowhere else. */
export type Metrics = ReturnType<typeof createMetrics>;

/**
 * A fresh set of metrics; two in one process do not meet. With `processMetrics` the runtime's own
 * (memory, event loop lag, garbage collection) are exported too.
 */
export function createMetrics({ processMetrics = false }: { processMetrics?: boolean } = {}) {
  const registry = new Registry();
  const registers = [registry];
  if (processMetrics) collectDefaultMetrics({ register: registry, prefix: "cityscale_" });
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter<L>({ name: `cityscale_${name}`, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Gauge<L>({ name: `cityscale_${name}`, help, labelNames, registers });
  const histogram = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    buckets: readonly number[],
  ) => new Histogram<L>({ name: `cityscale_${name}`, help, labelNames, buckets: [...buckets], registers });

  return {
    jobDuration: histogram(
      "job_duration_seconds",
      "Real time that jobs ran, by kind and how they ended.",
      ["kind", "state"],
      [0.05, 0.2, 1, 5, 20, 60, 300, 1200, 3600],
    ),
    jobsQueued: gauge("jobs_queued", "Jobs that wait, by lane, those for later included.", ["lane"]),
    jobsRunning: gauge("jobs_running", "Jobs that run, by lane.", ["lane"]),
    ingestedRows: counter("ingested_rows_total", "Raw rows stored, by source.", ["city", "source"]),
    quarantinedRows: counter("quarantined_rows_total", "Rows refused by the contract, by reason.", [
      "city",
      "reason",
    ]),
    sourceAge: gauge("source_age_seconds", "Time since a source was last read to its end.", [
      "city",
      "source",
    ]),
    forecastAge: gauge("forecast_age_seconds", "Age of the newest forecast's origin.", ["city", "target"]),
    liveScore: gauge("live_score", "Score of the champion's forecasts that came true.", [
      "city",
      "target",
      "score",
    ]),
    naiveLiveScore: gauge("naive_live_score", "The same score of the best naive forecast on the same rows.", [
      "city",
      "target",
      "score",
    ]),
    openAnomalies: gauge(
      "open_anomalies",
      "Days held back, level shifts that last, and odd days of the last week.",
      ["city", "target", "kind"],
    ),
    retentionRemoved: counter(
      "retention_removed_total",
      "Rows (of dataset versions: versions) that retention removed, by kind of data.",
      ["city", "kind"],
    ),
    lakeBytes: gauge("lake_bytes", "Size of a city's lake file.", ["city"]),
    httpDuration: histogram(
      "http_request_duration_seconds",
      "Time to answer, by route and status.",
      ["method", "route", "status"],
      [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
    ),
    /** What GET /metrics answers, in Prometheus' text format. */
    text: (): Promise<string> => registry.metrics(),
    contentType: registry.contentType,
  };
}
