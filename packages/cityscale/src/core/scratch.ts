import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

/**
 * Work with a folder of its own below `temporary` (made when missing) that is gone afterwards, however it ends.
 *
 * @param name what its name begins with: what a killed process leaves behind says whose it was
 */
export async function inScratch<T>(
  temporary: string,
  name: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  await mkdir(temporary, { recursive: true });
  const scratch = await mkdtemp(join(temporary, `${name}-`));
  try {
    return await work(scratch);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
