import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

/** Work with a folder of its own below `temporary` (made when missing) that is gone afterwards, however it ends. */
export async function inScratch<T>(temporary: string, work: (folder: string) => Promise<T>): Promise<T> {
  await mkdir(temporary, { recursive: true });
  const scratch = await mkdtemp(join(temporary, "scratch-"));
  try {
    return await work(scratch);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
