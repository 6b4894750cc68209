import { scores } from "@cityscale/forecast";

/** Scores of a probability, or of a mere ranking, on some rows; null where it cannot be computed. */
export interface BinaryScores {
  readonly rows: number;
  /** Share of rows whose event came. */
  readonly baseRate: number | null;
  readonly averagePrecision: number | null;
  /** When alarming on 1 % of these rows. */
  readonly recall: number | null;
  readonly precision: number | null;
  /** Of alarms from thresholds on that were chosen before the rows they are of. */
  readonly f1: number | null;
  readonly brier: number | null;
  /** 1 - Brier / Brier of always saying the base rate of these rows. */
  readonly brierSkill: number | null;
  /** Over 15 equally wide bins. */
  readonly calibrationError: number | null;
  /** Mean probability / base rate. */
  readonly bias: number | null;
}

/** One forecaster's view of the rows. */
export interface Judged {
  readonly name: string;
  readonly kind: "naive" | "trained";
  /** What ranks the rows: a probability, unless `probability` says otherwise. */
  readonly ranking: Float32Array;
  readonly probability: Float32Array;
  /** 1 for rows that it alarms on; null where it does not say. */
  readonly alarm: Uint8Array | null;
}

export interface BinaryReport {
  readonly name: string;
  readonly kind: "naive" | "trained";
  readonly all: BinaryScores;
  /** Rows not short at the origin, the only ones where a forecast helps. */
  readonly onset: BinaryScores;
  readonly reliability: {
    /** Ten bins of equally many onset rows, and ten equally wide ones. */
    readonly tenths: readonly scores.ReliabilityBin[];
    readonly widths: readonly scores.ReliabilityBin[];
  };
}

const bins = 15;
const rate = 0.01;

/**
 * Scores on all rows and on onset rows.
 *
 * @param label 0 or 1
 * @param onset 1 for rows not short at the origin
 */
export function scoreBinary(label: Uint8Array, onset: Uint8Array, judged: Judged): BinaryReport {
  const { name, kind, ranking, probability, alarm } = judged;
  const isOnset = (_: number, i: number) => onset[i] === 1;
  const y = label.filter(isOnset);
  const p = probability.filter(isOnset);
  const ranks = ranking === probability ? p : ranking.filter(isOnset);
  const probable = kind === "trained";
  return {
    name,
    kind,
    all: scoresOf(label, ranking, probability, alarm),
    onset: scoresOf(y, ranks, p, alarm?.filter(isOnset) ?? null),
    reliability: {
      tenths: probable ? scores.reliability(y, p, "rows") : [],
      widths: probable ? scores.reliability(y, p, "width") : [],
    },
  };
}

function scoresOf(
  y: Uint8Array,
  ranking: Float32Array,
  p: Float32Array,
  alarm: Uint8Array | null,
): BinaryScores {
  const ranked = scores.rankingOf(y, ranking);
  const baseRate = y.length === 0 ? null : ranked.positives / y.length;
  const { recall, precision } = scores.atAlarmRate(ranked, rate);
  const brier = scores.brier(y, p);
  const always = baseRate === null ? 0 : baseRate * (1 - baseRate);
  return {
    rows: y.length,
    baseRate: round(baseRate),
    averagePrecision: round(scores.averagePrecision(ranked)),
    recall: round(recall),
    precision: round(precision),
    f1: alarm && round(scores.f1(y, alarm, 1)),
    brier: round(brier),
    brierSkill: brier === null || always === 0 ? null : round(1 - brier / always),
    calibrationError: round(scores.expectedCalibrationError(y, p, bins)),
    bias: round(scores.probabilityBias(y, p)),
  };
}

const round = (value: number | null) => (value === null ? null : Number(value.toPrecision(6)));
