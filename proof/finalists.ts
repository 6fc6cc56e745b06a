// The end of a search: of the architectures that it thinks best and that are within the limit, the one that does best with shared weights on
// images that it was not searched with.

import { mostProbablePaths, type Path } from '../search-space/index.ts'
import type { Description } from '../strategies/index.ts'
import type { Evaluator } from './shared-accuracy.ts'

/** Of how many of the most probable architectures those within the limit are looked for. */
const MOST_LOOKED_AT = 5000

/** At most `count` architectures within the limit, those that the search thinks best first. */
function finalistsOf({ view, best }: Description, count: number, isWithin: (path: Path) => boolean): Path[] {
  const all =
    view.kind === 'distribution'
      ? mostProbablePaths(view.probabilities, MOST_LOOKED_AT).map(({ path }) => path)
      : best.map(({ path }) => path)
  return all.filter(isWithin).slice(0, count)
}

/** The one with the least loss, of statistics of mini-batches; of a hundred images more or fewer right a loss knows more than an accuracy. */
async function chooseFinalist(finalists: readonly Path[], evaluator: Pick<Evaluator, 'evaluate'>): Promise<Path> {
  let chosen: { readonly path: Path; readonly loss: number } | null = null
  for (const path of finalists) {
    const { loss } = (await evaluator.evaluate(path)).batch
    if (!chosen || loss < chosen.loss) chosen = { path, loss }
  }
  if (!chosen) throw new Error('expected at least one architecture within the limit')
  return chosen.path
}

export { chooseFinalist, finalistsOf }
