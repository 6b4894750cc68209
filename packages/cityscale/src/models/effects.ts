import type { CrossedTerm } from "@cityscale/forecast";
import type { FeatureView } from "../features/index.ts";

/** Weather that acts by the hour, and differently on some entities than on others. */
const weather = [
  "wx_temperature",
  "wxday_temperature",
  "wx_rain",
  "wxnear_rain",
  "wxday_rain",
  "wx_wind",
  "wxday_wind",
  "wx_humidity",
  "wx_cloud",
];

/**
 * What an entity counts at an hour of a sort of day, and how weather, holidays and school holidays change it:
 * each more particular effect is held closer to nothing. Penalties in rows that say "no effect".
 */
export function effectTerms(view: FeatureView): CrossedTerm[] {
  const hour = ["day_class", "slot"];
  const has = (name: string) => view.columns.includes(name);
  const slopes = (
    times: string,
    crosses: readonly (readonly [readonly string[], number])[],
  ): CrossedTerm[] => (has(times) ? crosses.map(([cross, penalty]) => ({ cross, times, penalty })) : []);
  const declared = view.timeless.filter((name) => name.startsWith("x_"));
  return [
    { cross: ["entity"], penalty: 1 },
    { cross: ["weekday_or_sunday", "slot"], penalty: 1 },
    { cross: ["entity", ...hour], penalty: 3 },
    { cross: ["entity", "weekday_or_sunday", "slot"], penalty: 8 },
    ...weather.flatMap((name) =>
      slopes(name, [
        [["day_class"], 10],
        [["slot"], 20],
        [["entity"], 40],
      ]),
    ),
    ...slopes("sun", [[["slot"], 100]]),
    ...slopes("school_holiday", [
      [hour, 5],
      [["entity"], 15],
      [["entity", "day_class"], 20],
    ]),
    ...slopes("holiday", [
      [["slot"], 5],
      [["entity"], 20],
    ]),
    ...slopes("bridge", [[["slot"], 5]]),
    ...slopes("holiday_tomorrow", [[["slot"], 10]]),
    ...slopes("holiday_yesterday", [[["slot"], 10]]),
    ...declared.flatMap((name) =>
      slopes(name, [
        [hour, 5],
        [["entity"], 20],
      ]),
    ),
  ];
}
