import type { LevelName } from "../../domain/index.ts";
import { distanceKm } from "../../features/index.ts";

/** What is there and what is to come of one side of a station, within the planning horizon. */
export interface SideOutlook {
  /** What is there now; NaN where it is not known. */
  readonly count: number;
  /** Probability of a stock-out, by lead, soonest first; the last one is the planning horizon's. */
  readonly risks: readonly number[];
  /** Probability that the count falls by at least k within the planning horizon, k = 0, 1, ...; falls with k. */
  readonly falls: ArrayLike<number>;
}

export interface StationOutlook {
  readonly station: string;
  readonly lat: number;
  readonly lon: number;
  /** NaN where it is not known. */
  readonly capacity: number;
  readonly bikes: SideOutlook;
  readonly docks: SideOutlook;
}

/** One station at risk, and what to do about it. */
export interface SuggestedMove {
  readonly station: string;
  /** What it will run out of. */
  readonly measure: LevelName;
  /** Mean of the probabilities by lead: sooner stock-outs weigh more, being in every later lead too. */
  readonly urgency: number;
  /** Probability within the planning horizon. */
  readonly risk: number;
  /** Bikes, or docks, expected to be missing below the bound. */
  readonly shortfall: number;
  /** Bikes to bring (above 0) or to take away (below 0); 0 where no station near can help. */
  readonly bikes: number;
  /** Where they come from, or go to; null where `bikes` is 0. */
  readonly partner: string | null;
  readonly distanceKm: number | null;
}

export interface MoveOptions {
  /** How many stations are wanted at most. */
  readonly top: number;
  /** A count under it is a stock-out. */
  readonly below: number;
  /** Risk under which a station that was helped counts as safe; 0.05 when left out. */
  readonly safe?: number;
  /** Risk that helping another may bring a partner to at most; 0.02 when left out. */
  readonly partnerRisk?: number;
  /** How far away a partner may be; 2 km when left out. */
  readonly withinKm?: number;
}

/** Shares of the numbers a plan has spoken for already. */
interface Stock {
  readonly outlook: StationOutlook;
  readonly given: Record<LevelName, number>;
}

/**
 * The stations likeliest to run out of bikes or docks that have not run out yet, with bikes to bring or to take. No
 * station gets more bikes than it has docks for, or gives more than it has; a partner keeps, on both sides, a risk of
 * at most `partnerRisk` after all that the plan asks of it.
 */
export function suggestMoves(outlooks: readonly StationOutlook[], options: MoveOptions): SuggestedMove[] {
  const { top, below, safe = 0.05, partnerRisk = 0.02, withinKm = 2 } = options;
  const stocks: Stock[] = outlooks.map((outlook) => ({ outlook, given: { bikes: 0, docks: 0 } }));
  const needy = stocks
    .flatMap((stock) =>
      (["bikes", "docks"] as const).flatMap((measure) => {
        const { count, risks } = stock.outlook[measure];
        const urgency = risks.reduce((sum, risk) => sum + risk, 0) / risks.length;
        // What has run out already needs no forecast.
        return count >= below && urgency > 0 ? [{ stock, measure, urgency }] : [];
      }),
    )
    .sort((a, b) => b.urgency - a.urgency || a.stock.outlook.station.localeCompare(b.stock.outlook.station))
    .slice(0, top);
  const busy = new Set(needy.map(({ stock }) => stock));
  return needy.map(({ stock, measure, urgency }) => {
    const { outlook } = stock;
    const side = outlook[measure];
    const wanted = Math.min(missing(side, below, safe), room(stock, measure, below));
    const help = wanted < 1 ? undefined : nearestHelp(stock, measure, wanted);
    const amount = help?.amount ?? 0;
    if (help) {
      help.partner.given[measure] += amount;
      stock.given[opposite(measure)] += amount;
    }
    return {
      station: outlook.station,
      measure,
      urgency,
      risk: side.risks.at(-1)!,
      shortfall: expectedShortfall(side, below),
      bikes: measure === "bikes" ? amount : amount === 0 ? 0 : -amount,
      partner: help?.partner.outlook.station ?? null,
      distanceKm: help?.km ?? null,
    };
  });

  /** The nearest station that can give all that is wanted, or else the one that can give most. */
  function nearestHelp(stock: Stock, measure: LevelName, wanted: number) {
    let best: { partner: Stock; amount: number; km: number } | undefined;
    for (const partner of stocks) {
      const km = distanceKm(stock.outlook, partner.outlook);
      if (busy.has(partner) || !(km <= withinKm)) continue;
      const amount = Math.min(wanted, sparable(partner, measure), room(partner, opposite(measure), below));
      if (amount < 1) continue;
      const isBetter = best === undefined || amount > best.amount || (amount === best.amount && km < best.km);
      if (isBetter) best = { partner, amount, km };
    }
    return best;
  }

  /** How many a partner can give of one side and stay safe there; what the plan took from it is gone. */
  function sparable({ outlook, given }: Stock, measure: LevelName): number {
    const side = outlook[measure];
    let amount = 0;
    while (riskWith(side, below, -(given[measure] + amount + 1)) <= partnerRisk) {
      amount++;
      if (given[measure] + amount >= side.count - below) break;
    }
    return side.count - given[measure] < below ? 0 : amount;
  }
}

const opposite = (measure: LevelName): LevelName => (measure === "bikes" ? "docks" : "bikes");

/**
 * How many of one side can be added: each takes one of the other side, of which the bound must stay; none where that
 * side is not known.
 */
function room({ outlook, given }: Stock, measure: LevelName, below: number): number {
  const other = opposite(measure);
  const left = outlook[other].count - given[other] - below;
  const beyond = outlook.capacity - outlook[measure].count;
  const room = Number.isNaN(beyond) ? left : Math.min(left, beyond);
  return room >= 1 ? Math.floor(room) : 0;
}

/** Fewest that bring a side's risk down to `safe`. */
function missing(side: SideOutlook, below: number, safe: number): number {
  let amount = 1;
  while (amount < side.falls.length && riskWith(side, below, amount) > safe) amount++;
  return amount;
}

/** The forecast's risk moved along the station's own falls, as if so many more (or fewer) were there. */
function riskWith(side: SideOutlook, below: number, more: number): number {
  const { count, risks, falls } = side;
  const spare = count - (below - 1);
  const risk = risks.at(-1)!;
  if (Number.isNaN(count) || spare + more <= 0) return 1;
  const now = fallBy(falls, spare);
  return now > 0 ? Math.min(1, (risk * fallBy(falls, spare + more)) / now) : risk;
}

/**
 * Bikes (or docks) expected to be missing below the bound within the planning horizon: the sum over j >= 1 of the
 * probability to be short by at least j, whose course is that of the station's own falls.
 */
export function expectedShortfall(side: SideOutlook, below: number): number {
  let sum = 0;
  for (let short = 0; short < side.falls.length; short++) {
    // The count cannot fall below 0.
    if (short >= below) break;
    sum += riskWith(side, below, short);
  }
  return sum;
}

/** Deeper falls than are told do not happen. */
const fallBy = (falls: ArrayLike<number>, depth: number): number =>
  depth <= 0 ? 1 : depth >= falls.length ? 0 : falls[depth]!;
