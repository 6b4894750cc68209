import { createManualClock } from "../../../src/core/index.ts";
import { openLakeAt, openSource, readInto } from "./requests.ts";

// Reads New York's requests into a lake and says each page, until it is killed.
const [path, address, at] = process.argv.slice(2) as [string, string, string];
const clock = createManualClock(Number(at));
const lake = await openLakeAt(path, clock);
for await (const _ of readInto(lake, openSource(address, clock), clock)) process.stdout.write("page\n");
process.stdout.write("merging\n");
await lake.merge();
await lake.close();
process.stdout.write("done\n");
