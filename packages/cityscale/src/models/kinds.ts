import type { MemberSpec } from "@cityscale/forecast";
import { type MemberKindName, type ModelKindName, memberKinds, type Target } from "../domain/index.ts";
import { type FeatureView, isFar } from "../features/index.ts";
import { dailyRidge } from "./daily-ridge.ts";
import { effectTerms } from "./effects.ts";

/** How much goes into a training; what a target declares is meant for a training every week beside a server. */
export interface Effort {
  readonly maxRows: number;
  readonly maxOrigins: number;
  readonly trees: number;
  readonly leaves: number;
  readonly learningRate: number;
  /** Networks that are averaged. */
  readonly networks: number;
  readonly calibrationWindow: string;
  /** `refit` wastes no row on calibration and takes twice the time; `holdout` is quick. */
  readonly calibrate: "refit" | "holdout";
}

/** What a target declares. */
export const declaredEffort = ({ training }: Target): Effort => ({
  maxRows: training.maxRows,
  maxOrigins: 900,
  trees: training.trees,
  leaves: training.leaves,
  learningRate: training.learningRate,
  networks: 1,
  calibrationWindow: training.calibrationWindow,
  calibrate: "holdout",
});

/** What a training takes that has the machine for itself: more rows and trees, at most some 3 GB and minutes. */
export const fullEffort: Effort = {
  maxRows: 1_200_000,
  maxOrigins: 4000,
  trees: 400,
  leaves: 63,
  learningRate: 0.065,
  networks: 3,
  calibrationWindow: "182d",
  calibrate: "refit",
};

/** Rows that a quantile model learns from at most. */
export const quantileRows = 300_000;

/** Penalty of ridge regressions on standardised columns, in rows. */
const ridgeAlpha = 60;

/** The level of a blend, on the scale of the target; a forecast of no kind by itself. */
const steadyLevel = "median_12_weeks";

/** A share at every lead, or at the first one and at `farDays`, and in between by the lead. */
type Share = number | readonly [first: number, far: number];
type Blend = Partial<Record<MemberKindName | "level", Share>>;
const farDays = 14;

/**
 * Weights that did best on windows before those that are reported. Days: what a regression of one series makes of the
 * newest days and of the weather holds tomorrow; in two weeks trees, which all series share, and a level that hardly
 * moves have more to say (chosen by the worst of six series in two half-years). Young: a history that has not seen
 * every season twice, of which a network makes a line into those that it never saw.
 */
const blends: Record<"days" | "near" | "young" | "far", Blend> = {
  days: { ridge: [0.75, 0.45], trees: [0.25, 0.45], level: [0, 0.1] },
  near: { trees: 0.45, network: 0.55 },
  young: { trees: 0.8, network: 0.2 },
  far: { trees: 0.6, effects: 0.25, network: 0.15 },
};

/** Days after which a row weighs half as much, where nothing else tells how things stand; a blend has several. */
const halfLives = [60, 30, 120] as const;

/** What a target declares for horizons such as the view's. */
export const declaredModel = ({ training }: Target, view: FeatureView): Target["training"]["far"] =>
  isFar(view) ? training.far : training;

/** The models that make up one kind, for a view. */
export function membersOf(
  kind: ModelKindName,
  target: Target,
  view: FeatureView,
  effort: Effort,
): MemberSpec[] {
  const { seed } = target.training;
  const of = (part: MemberKindName) =>
    isFar(view) ? farMembers(part, seed, view, effort) : nearMembers(part, seed, view, effort);
  if (kind !== "blend") return of(kind);
  const { level, ...blend }: Blend = declaredModel(target, view).blend ?? blends[usualBlend(view)];
  const members = memberKinds.flatMap((part) =>
    blend[part] ? of(part).map((spec) => weighted(spec, blend[part]!)) : [],
  );
  if (level) members.push(weighted({ kind: "level", weight: 1, column: steadyLevel }, level));
  return members;
}

/** A member as its kind has it: the same weight at every lead. */
type Member = MemberSpec & { readonly weight: number };

function weighted(spec: Member, share: Share): MemberSpec {
  const { weight } = spec;
  if (typeof share === "number") return { ...spec, weight: weight * share };
  const [first, far] = share;
  const byLead = (_: unknown, i: number) => weight * (first + ((far - first) * i) / (farDays - 1));
  return { ...spec, weight: Array.from({ length: farDays }, byLead) };
}

function usualBlend(view: FeatureView): keyof typeof blends {
  if (isFar(view)) return "far";
  if (view.slotsPerDay === 1) return "days";
  return view.seasonal.every((name) => view.columns.includes(name)) ? "near" : "young";
}

function nearMembers(kind: MemberKindName, seed: number, view: FeatureView, effort: Effort): Member[] {
  const columns = view.smooth;
  // The expectation of days is four weeks old on average; the newest days say more of how things stand.
  if (kind === "trees" || kind === "forest")
    return [{ kind, weight: 1, seed, ...(view.slotsPerDay === 1 && { departFrom: "fading_50" }) }];
  if (kind === "effects") return [{ kind, weight: 1, seed, effects: effectTerms(view) }];
  if (kind === "network") return networks(effort, (i) => ({ seed: seed + i, columns }));
  // Its regressions are one entity's each.
  const own = (names: readonly string[]) => names.filter((name) => name !== "entity");
  const { names, categorical } = columns;
  return [
    {
      kind,
      weight: 1,
      by: "entity",
      ...(view.slotsPerDay === 1
        ? dailyRidge(view)
        : { alpha: ridgeAlpha, columns: { names: own(names), categorical: own(categorical) } }),
    },
  ];
}

function farMembers(kind: MemberKindName, seed: number, view: FeatureView, effort: Effort): Member[] {
  const effects = effectTerms(view);
  const [usual] = halfLives;
  if (kind === "forest") return [{ kind, weight: 1, seed, halfLifeDays: usual }];
  if (kind === "trees") {
    return halfLives.map((halfLifeDays) => ({ kind, weight: 1 / halfLives.length, seed, halfLifeDays }));
  }
  if (kind === "effects") return [{ kind, weight: 1, seed, halfLifeDays: usual, effects }];
  const timeless = (names: readonly string[]) => names.filter((name) => view.timeless.includes(name));
  const columns = { names: timeless(view.smooth.names), categorical: timeless(view.smooth.categorical) };
  if (kind === "network") {
    return networks(effort, (i) => ({
      seed: seed + i,
      columns,
      halfLifeDays: i === 2 ? halfLives[2] : usual,
      effects,
      network: { epochs: 6, dropout: i === 0 ? 0.15 : 0.3 },
    }));
  }
  // A regression of one entity and hour alone, over all that does not depend on the origin.
  return nearMembers(kind, seed, { ...view, smooth: columns }, effort).map((spec) => ({
    ...spec,
    halfLifeDays: usual,
  }));
}

type NetworkSpec = Member & { kind: "network" };

const networks = (
  { networks: count }: Effort,
  spec: (i: number) => Omit<NetworkSpec, "kind" | "weight">,
): Member[] => Array.from({ length: count }, (_, i) => ({ kind: "network", weight: 1 / count, ...spec(i) }));
