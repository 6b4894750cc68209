import type { FeatureDeclaration } from "../domain/index.ts";
import { weatherColumns } from "../lake/index.ts";
import { heatingOf } from "./heating.ts";

/** What a column tells; an explanation adds up the contributions of each part. */
export const viewParts = [
  "expectation",
  "calendar",
  "recent level",
  "events",
  "weather",
  "place",
  "custom",
] as const;
export type ViewPart = (typeof viewParts)[number];

/**
 * One column of a view. Its SQL reads the row `w` (with its places' values of `keyed`), its day `d`, entity `n`,
 * history `hi`, city `ci`, city a day before `cd`, neighbours `ne`, neighbours a day before `nd`, last holiday `lh`,
 * weather `wx`, events `ev` and origin `g`.
 */
export interface ViewColumn {
  readonly name: string;
  readonly part: ViewPart;
  readonly sql: string;
  readonly categorical?: true;
  /**
   * How a model that is smooth in its inputs (a network, a ridge regression) takes the column: as it is when left
   * out, as a category, or not at all. Its numbers may be no measure of anything, as those of weekdays.
   */
  readonly smooth?: "category" | "none";
  /** It says the same of a target from whatever origin: all that a forecast beyond the last counts' reach can use. */
  readonly timeless?: true;
  /** It tells the place in the year, and nothing else. */
  readonly seasonal?: true;
  /** It tells how other entities do. */
  readonly ofOthers?: true;
  /** It is the same for weeks, or in no other week: of a year seen once it tells which those were. */
  readonly slow?: true;
}

export interface ViewWindow {
  readonly name: string;
  readonly steps: number;
}

/** What a view's columns are made from. */
export interface ViewShape {
  /** Added to counts before logarithms. */
  readonly offset: number;
  readonly slotsPerDay: number;
  /** Weeks between a target and its newest usable same-weekday value, at most. */
  readonly maxWeeksAhead: number;
  readonly levels: readonly ViewWindow[];
  readonly cityLevels: readonly ViewWindow[];
  readonly dailyLags: readonly number[];
  readonly weeklyLags: readonly number[];
  /** Lengths of other medians than the expectation's own eight weeks. */
  readonly medianWeeks: readonly number[];
  /** Steps on either side of a weather mean around the target; 0 where steps are too long for one. */
  readonly nearSteps: number;
  /** How far away neighbours may be, in km; null where none are asked for. */
  readonly neighboursWithinKm: number | null;
  /** Whether a source of the city tells its events. */
  readonly hasEvents: boolean;
  readonly custom: readonly FeatureDeclaration[];
  /** The city's place, in degrees. */
  readonly location: { readonly lat: number; readonly lon: number };
}

/** Weather variables that also get day means, departures from the usual and changes since the day before. */
export const weatherWithMemory = ["temperature", "humidity", "rain", "wind", "cloud", "radiation"] as const;

/** An expression by the number of weeks between the row's target and its newest usable same-weekday value. */
export const byWeeks = ({ maxWeeksAhead }: ViewShape, name: (weeks: number) => string): string =>
  maxWeeksAhead === 1
    ? name(1)
    : `CASE w.weeks ${Array.from({ length: maxWeeksAhead }, (_, i) => `WHEN ${i + 1} THEN ${name(i + 1)}`).join(" ")} END`;

const ratio = ({ offset }: ViewShape, value: string) => `ln((${value} + ${offset}) / (w.s + ${offset}))`;

/** A value aligned with the target some days before it: only when its own step was known at the origin. */
const known = ({ slotsPerDay }: ViewShape, days: number, value: string) =>
  `CASE WHEN w.key - ${days * slotsPerDay} <= w.anchor_key THEN ${value} END`;

/**
 * Whether the horizon lies so far beyond the newest counts that the past of a target's own slot says less than what
 * is known of the target itself. Days have few slots of their own: two weeks of them are not far.
 */
export const isFar = ({ slotsPerDay, maxWeeksAhead }: ViewShape): boolean =>
  slotsPerDay > 1 && maxWeeksAhead > 2;

type Block = (shape: ViewShape) => ViewColumn[];

/** Columns by name, each its SQL or that and more. */
type Columns = Record<string, string | Omit<ViewColumn, "name" | "part">>;

const block =
  (part: ViewPart, columns: (shape: ViewShape) => Columns): Block =>
  (shape) =>
    Object.entries(columns(shape)).map(([name, column]) => ({
      name,
      part,
      ...(typeof column === "string" ? { sql: column } : column),
    }));

const timeless =
  (columns: Block): Block =>
  (shape) =>
    columns(shape).map((column) => ({ ...column, timeless: true }));

const seasonal = (sql: string) => ({ sql, seasonal: true }) as const;
const slow = (sql: string) => ({ sql, slow: true }) as const;
const asCategory = (sql: string) => ({ sql, smooth: "category" }) as const;
const notSmooth = (sql: string) => ({ sql, smooth: "none" }) as const;

const categories =
  (part: ViewPart, smooth: "category" | "none", columns: Record<string, string>): Block =>
  () =>
    Object.entries(columns).map(([name, sql]) => ({ name, part, sql, smooth, categorical: true }));

const slowAll =
  (columns: Block): Block =>
  (shape) =>
    columns(shape).map((column) => ({ ...column, slow: true }));

const lead = block("calendar", () => ({ lead: "w.h" }));

/** Workday, Saturday, Sunday or holiday. */
const dayClass = "CASE WHEN d.holiday OR d.weekday = 6 THEN 2 WHEN d.weekday = 5 THEN 1 ELSE 0 END";

const calendar = block("calendar", (shape) => ({
  slot: asCategory("w.slot"),
  weekday: notSmooth("d.weekday"),
  day_type: asCategory("CASE WHEN d.holiday THEN 7 ELSE d.weekday END"),
  day_of_month: slow("d.day_of_month"),
  day_of_year: { ...seasonal("d.day_of_year"), smooth: "none" },
  year_sin: seasonal("sin(2 * pi() * d.day_of_year / 365.25)"),
  year_cos: seasonal("cos(2 * pi() * d.day_of_year / 365.25)"),
  weekday_or_sunday: notSmooth("CASE WHEN d.holiday THEN 6 ELSE d.weekday END"),
  day_class: notSmooth(dayClass),
  ...(shape.slotsPerDay > 1 ? { sun: sunHeight(shape) } : {}),
}));

/** Degrees of the sun above the horizon in the middle of the step, within a degree (Cooper's declination, 1969). */
function sunHeight({ location: { lat, lon }, slotsPerDay }: ViewShape): string {
  const declination = "radians(-23.44) * cos(2 * pi() * (d.day_of_year + 10) / 365)";
  const utcHours = `((w.start_at // 1000) % 86400) / 3600.0 + ${12 / slotsPerDay}`;
  const hourAngle = `radians(15 * (${utcHours} + ${lon / 15} - 12))`;
  const phi = `radians(${lat})`;
  return `degrees(asin(sin(${phi}) * sin(${declination}) + cos(${phi}) * cos(${declination}) * cos(${hourAngle})))`;
}

const holidays = block("calendar", () => ({
  holiday: "d.holiday::INTEGER",
  holiday_tomorrow: "d.holiday_tomorrow::INTEGER",
  holiday_yesterday: "d.holiday_yesterday::INTEGER",
  days_to_holiday: "d.days_to_holiday",
  days_since_holiday: "d.days_since_holiday",
  days_off: "d.days_off",
  bridge: "d.bridge::INTEGER",
  days_to_christmas: slow("greatest(-30, least(15, d.from_christmas))"),
}));

const holidayNames = categories("calendar", "none", {
  holiday_name: "d.holiday_name",
  holiday_name_tomorrow: "d.holiday_name_tomorrow",
  holiday_name_yesterday: "d.holiday_name_yesterday",
});

const school = block("calendar", () => ({
  school_holiday: "d.school::INTEGER",
  school_holiday_day: slow("d.school_day"),
  school_holiday_left: slow("d.school_left"),
  school_holiday_week_ago: slow("d.school_week_ago::INTEGER"),
  school_holiday_share: slow("d.school_share"),
}));

const holidaysBefore = block("calendar", (shape) => ({
  sunday_like: ratio(
    shape,
    byWeeks(shape, (k) => `w.sunday${k}`),
  ),
  r_last_holiday: `CASE WHEN d.last_same_holiday * ${shape.slotsPerDay} + w.slot <= w.anchor_key THEN lh.r END`,
}));

const place: Block = (shape) => [
  ...categories("place", "category", { entity: "w.e" })(shape),
  ...block("place", () => ({ lat: notSmooth("n.lat"), lon: notSmooth("n.lon") }))(shape),
];

const expectation = block("expectation", (shape) => {
  const c = shape.offset;
  return {
    log_expectation: `ln(w.s + ${c})`,
    spread: `ln((${byWeeks(shape, (k) => `w.hi${k}`)} + ${c}) / (${byWeeks(shape, (k) => `w.lo${k}`)} + ${c}))`,
    mean_4_weeks: ratio(
      shape,
      byWeeks(shape, (k) => `w.m${k}`),
    ),
    ...Object.fromEntries(
      shape.medianWeeks.map((n) => [
        `median_${n}_weeks`,
        ratio(
          shape,
          byWeeks(shape, (k) => `w.med${n}_${k}`),
        ),
      ]),
    ),
    fading_mean: `${byWeeks(shape, (k) => `w.fade${k}`)} - ln(w.s + ${c})`,
  };
});

const lastDays = block("recent level", (shape) => ({
  ...Object.fromEntries(shape.dailyLags.map((lag) => [`r_day_${lag}`, known(shape, lag, `w.r_day_${lag}`)])),
  y_day_1: known(shape, 1, ratio(shape, "w.y_day_1")),
}));

const lastWeeks = block("recent level", (shape) =>
  Object.fromEntries(
    shape.weeklyLags.map((lag) => [
      `y_week_${lag}`,
      ratio(
        shape,
        byWeeks(shape, (k) => `w.yw${lag + k - 1}`),
      ),
    ]),
  ),
);

const levels = block("recent level", (shape) => ({
  ...Object.fromEntries(shape.levels.map(({ name }) => [`level_${name}`, `hi."level_${name}"`])),
  level_plain_7d: "hi.level_plain_7d",
  level_plain_28d: "hi.level_plain_28d",
  volatility_28d: "hi.volatility_28d",
  observed_share_7d: "hi.observed_share_7d",
  origin_slot: notSmooth("g.anchor_slot"),
}));

const ofOthers = (sql: string) => ({ sql, ofOthers: true }) as const;

const city = block("recent level", (shape) => ({
  ...Object.fromEntries(shape.cityLevels.map(({ name }) => [`city_${name}`, ofOthers(`ci."level_${name}"`)])),
  city_day_1: ofOthers(known(shape, 1, "cd.r")),
}));

const neighbours = block("recent level", (shape) => {
  if (shape.neighboursWithinKm === null) return {};
  return {
    ...Object.fromEntries(
      shape.cityLevels.map(({ name }) => [`near_${name}`, ofOthers(`ne."level_${name}"`)]),
    ),
    near_day_1: ofOthers(known(shape, 1, "nd.r")),
  };
});

const lastYear = block("recent level", () => ({ r_year: "w.r_year", r_year_week: "w.r_year_week" }));

const events = block("events", () => ({
  events_near: "ln(1 + ev.near)",
  events_city: "ln(1 + ev.everywhere)",
  event_start_soon: "ln(1 + ev.starting)",
  event_end_recent: "ln(1 + ev.ending)",
}));

/** When the largest event near begins or has ended, in hours from the middle of the step: people come and go at once. */
const eventTimes = block("events", ({ hasEvents, slotsPerDay }) =>
  hasEvents && slotsPerDay > 1
    ? { event_starts_in: "ev.starts_in", event_ended_ago: "ev.ended_ago" }
    : ({} as Columns),
);

/** People at an event, those who come to it and those who leave it, each against what is expected. */
export const eventLoadNames = ["event_load", "event_start_load", "event_end_load"] as const;

/** People at an event add to a count, and what is learned is its ratio to the expectation. */
const eventLoads = block("events", ({ hasEvents, offset }) => {
  if (!hasEvents) return {};
  const people = ["ev.near", "ev.starting", "ev.ending"];
  return Object.fromEntries(
    eventLoadNames.map((name, i) => [name, `ln(1 + ${people[i]} / (w.s + ${offset}))`]),
  );
});

const weather = block("weather", (shape) => {
  const column = (name: string) => [name, { sql: `wx."${name}"`, timeless: true }] as const;
  // Against the weeks departed from, and a day before: they tell of a count that departs from the newest ones.
  const change = (name: string) => [name, `wx."${name}"`] as const;
  return Object.fromEntries<Columns[string]>([
    ...weatherColumns.map((name) => column(`wx_${name}`)),
    ...weatherWithMemory.flatMap((name) => [
      column(`wxday_${name}`),
      change(`wxdep_${name}`),
      change(`wxchange_${name}`),
      change(`wxdaychange_${name}`),
      ...(shape.nearSteps > 0 ? [column(`wxnear_${name}`)] : []),
    ]),
  ]);
});

/** Steps of a day: the level without the week's shape, and how much of the year's course lies ahead. */
const dailyLevels = block("recent level", ({ slotsPerDay, offset }) => {
  if (slotsPerDay !== 1) return {};
  const fromBase = (value: string) => `${value} - ln(w.s + ${offset})`;
  const factor = "hi.weekday_factors[d.weekday + 1]";
  return {
    log_day: fromBase("hi.log_day"),
    log_mean_7d: fromBase("hi.log_mean_7d"),
    log_mean_28d: fromBase("hi.log_mean_28d"),
    log_mean_56d: fromBase("hi.log_mean_56d"),
    fading_15: fromBase(`hi.fading_15 + ${factor}`),
    fading_50: fromBase(`hi.fading_50 + ${factor}`),
    fading_90: fromBase(`hi.fading_90 + ${factor}`),
    weekday_factor: factor,
    year_change: "w.year_level - hi.year_before",
  };
});

const dailyCalendar = block("calendar", ({ slotsPerDay }) =>
  slotsPerDay !== 1
    ? {}
    : {
        christmas_week: "(d.from_christmas BETWEEN -2 AND 8)::INTEGER",
        holiday_origin: "od.holiday::INTEGER",
      },
);

/** Steps of a day: temperatures against those of the days departed from, by season. */
const dailyWeather = block("weather", ({ slotsPerDay }) => {
  if (slotsPerDay !== 1) return {};
  const changesOf = (temperature: string) => ({
    temperature_week: `${temperature} - wb.week`,
    temperature_base: `${temperature} - wb.base`,
    temperature_today: `${temperature} - wb.today`,
    heating_base: `${heatingOf(temperature)} - wb.heating_base`,
  });
  const changes = changesOf("wx.wx_temperature");
  // Against the days that a forecast departs from also past the end of the weather's.
  const { temperature_base, heating_base } = changesOf("wb.ahead");
  return {
    temperature_low: "wx.low",
    temperature_high: "wx.high",
    heating: heatingOf("wx.wx_temperature"),
    ...Object.fromEntries(
      Object.entries(changes).flatMap(([name, sql]) => [
        [name, sql],
        [`${name}_sin`, `(${sql}) * sin(2 * pi() * d.day_of_year / 365.25)`],
        [`${name}_cos`, `(${sql}) * cos(2 * pi() * d.day_of_year / 365.25)`],
      ]),
    ),
    temperature_base,
    heating_base,
  };
});

/** What a model without the past of a target's own slot needs beside its hour and its weekday. */
const farCalendar = block("calendar", (shape) => {
  if (!isFar(shape)) return {};
  return {
    class_slot: asCategory(`(${dayClass}) * ${shape.slotsPerDay} + w.slot`),
    twilight: `greatest(-12, least(6, ${sunHeight(shape)}))`,
  };
});

/**
 * Weather as it acts, for models that add it up: heat and cold from where they begin to count, and the root of rain,
 * whose first drops keep more people at home than the last.
 */
const farWeather = block("weather", (shape) => {
  if (!isFar(shape)) return {};
  const above = (value: string) => `CASE WHEN ${value} > 0 THEN ${value} WHEN ${value} <= 0 THEN 0 END`;
  const root = (rain: string) => `CASE WHEN ${rain} IS NOT NULL THEN sqrt(least(${rain}, 9)) END`;
  return {
    wx_heat: above("(wx.wx_temperature - 20)"),
    wx_cold: above("(6 - wx.wx_temperature)"),
    wxday_heat: above("(wx.wxday_temperature - 20)"),
    wx_rain_root: root("wx.wx_rain"),
    wxday_rain_root: root("wx.wxday_rain"),
    ...(shape.nearSteps > 0 ? { wxnear_rain_root: root("wx.wxnear_rain") } : {}),
  };
});

const custom: Block = (shape) =>
  shape.custom.map(({ name, block: kind }) => ({
    name: `x_${name}`,
    part: "custom",
    sql: `x_${name}."${name}"`,
    ...(kind === "calendar" || kind === "static" ? { timeless: true } : {}),
  }));

/** Every view has all of them; a block without anything to say for a step or a city yields no columns. */
const blocks: readonly Block[] = [
  lead,
  timeless(calendar),
  timeless(holidays),
  timeless(slowAll(holidayNames)),
  timeless(school),
  holidaysBefore,
  timeless(place),
  expectation,
  lastDays,
  lastWeeks,
  levels,
  city,
  neighbours,
  lastYear,
  timeless(events),
  timeless(eventTimes),
  eventLoads,
  weather,
  dailyCalendar,
  dailyLevels,
  dailyWeather,
  timeless(farCalendar),
  timeless(farWeather),
  custom,
];

/** The columns of a view, in the order in which models see them. */
export const columnsOf = (shape: ViewShape): ViewColumn[] => blocks.flatMap((columns) => columns(shape));
