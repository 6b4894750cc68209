import type { CrossedTerm } from "@cityscale/forecast";
import { type FeatureView, isFar } from "../features/index.ts";

/** Weather that acts by the hour, and differently on some entities than on others. */
const nearWeather = [
  "wx_temperature",
  "wxday_temperature",
  "wx_rain",
  "wxnear_rain",
  "wxday_rain",
  "wx_wind",
  "wxday_wind",
  "wx_humidity",
  "wx_cloud",
].map((name) => ({ name }));

type Unit = NonNullable<CrossedTerm["unit"]>;
const unit = (name: string, centre: number, size: number): { name: string; unit: Unit } => ({
  name,
  unit: { centre, size },
});

/**
 * The same where effects say nearly all there is to say: heat and cold apart, and in units that are the same whatever
 * weather the history has had, for a penalty holds the slope of heat that was seldom felt closer to nothing than one
 * in units of its own spread.
 */
const farWeather = [
  unit("wx_temperature", 12, 8),
  unit("wx_heat", 0, 5),
  unit("wx_cold", 0, 5),
  unit("wxday_temperature", 12, 8),
  unit("wxday_heat", 0, 5),
  unit("wx_rain_root", 0, 1),
  unit("wxnear_rain_root", 0, 1),
  unit("wxday_rain_root", 0, 0.5),
  unit("wx_wind", 3.5, 2),
  unit("wxday_wind", 3.5, 2),
  unit("wx_humidity", 70, 20),
];

/**
 * What an entity counts at an hour of a sort of day, and how weather, holidays and school holidays change it:
 * each more particular effect is held closer to nothing. Penalties in rows that say "no effect".
 */
export function effectTerms(view: FeatureView): CrossedTerm[] {
  const hour = ["day_class", "slot"];
  const slopes = (
    { name, unit }: { name: string; unit?: Unit },
    crosses: readonly (readonly [readonly string[], number])[],
  ): CrossedTerm[] =>
    view.columns.includes(name)
      ? crosses.map(([cross, penalty]) => ({ cross, times: name, penalty, ...(unit ? { unit } : {}) }))
      : [];
  const flag = (name: string) => ({ name });
  const far = isFar(view);
  const declared = view.timeless.filter((name) => name.startsWith("x_"));
  return [
    { cross: ["entity"], penalty: 1 },
    { cross: ["weekday_or_sunday", "slot"], penalty: 1 },
    { cross: ["entity", ...hour], penalty: 3 },
    { cross: ["entity", "weekday_or_sunday", "slot"], penalty: 8 },
    ...(far ? farWeather : nearWeather).flatMap((column) =>
      slopes(column, [
        [["day_class"], 10],
        [["slot"], 20],
        [["entity"], 40],
      ]),
    ),
    ...slopes(far ? unit("twilight", 0, 6) : flag("sun"), [[["slot"], 100]]),
    ...slopes(flag("school_holiday"), [
      [hour, 5],
      [["entity"], 15],
      [["entity", "day_class"], 20],
    ]),
    ...slopes(flag("holiday"), [
      [["slot"], 5],
      [["entity"], 20],
    ]),
    ...slopes(flag("bridge"), [[["slot"], 5]]),
    ...slopes(flag("holiday_tomorrow"), [[["slot"], 10]]),
    ...slopes(flag("holiday_yesterday"), [[["slot"], 10]]),
    ...declared.flatMap((name) =>
      slopes(flag(name), [
        [hour, 5],
        [["entity"], 20],
      ]),
    ),
  ];
}
