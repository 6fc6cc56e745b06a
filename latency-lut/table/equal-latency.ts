// What an architecture is to be compared with: random ones that take as long as it does. Against random ones of any latency a search that
// does nothing but find slow networks looks good.

import { type Path, type Random, randomPath, type Space } from '../../search-space/index.ts'
import { pathLatencyMs, type SpaceLatency } from './coverage.ts'

/** How much longer or less long they may take, as a share. */
const EQUAL_LATENCY = 0.1
const DRAWS = 100_000

/** Different ones, none of them `like`, within EQUAL_LATENCY of its latency by the table; fewer where so many are not found. */
function randomOfEqualLatency(space: Space, latency: SpaceLatency, like: Path, count: number, random: Random): number[][] {
  const wantedMs = pathLatencyMs(latency, like)
  const found = new Map<string, number[]>()
  for (let draw = 0; draw < DRAWS && found.size < count; draw++) {
    const path = randomPath(space, random)
    const isEqual = Math.abs(pathLatencyMs(latency, path) / wantedMs - 1) <= EQUAL_LATENCY
    if (isEqual && path.join() !== like.join()) found.set(path.join(), path)
  }
  return [...found.values()]
}

export { randomOfEqualLatency }
