// The plots of a proof: every recorded network with what was found, and shared-weight losses beside recorded accuracies.

import { scatterSvg, type Series } from '../plots/scatter.ts'
import { createRandom, paretoFront, type Path, seedState } from '../search-space/index.ts'
import type { Costs } from './costs.ts'
import type { Found } from './found.ts'
import type { Ranked } from './ranking.ts'
import { strategyNames } from './settings.ts'
import { drawSome, type Truth } from './truth.ts'

/** Networks within the least limit are few and bad: what is of interest begins here. */
const LEAST_SHOWN = 0.1
const RANDOM_PICKS = 30

/** All recorded networks, their front, random ones and what each strategy found, by cost. */
function foundPlot(truth: Truth, costs: Costs, found: readonly Found[]): string {
  const pointOf = (path: Path) => ({ x: costs.of(path), y: truth.accuracyOf(path) })
  const all = truth.paths.map(pointOf)
  const picks = drawSome(all, RANDOM_PICKS, createRandom(seedState('random picks')))
  const strategies = strategyNames.flatMap((strategy): Series[] => {
    const own = found.filter((each) => each.strategy === strategy)
    const points = own.map(({ path, seed, limit, architecture }) => {
      return { ...pointOf(path), title: `${strategy} within ${limit}, seed ${seed}: ${architecture}` }
    })
    return own.length > 0 ? [{ name: strategy, points }] : []
  })
  const accuracies = all.map(({ y }) => y).toSorted((a, b) => a - b)
  const floor = accuracies[Math.floor(LEAST_SHOWN * accuracies.length)] as number
  const [top = floor] = accuracies.slice(-1)
  const front = paretoFront(all, { x: 'low', y: 'high' })
  return scatterSvg({
    title: 'What searches found among all recorded networks',
    x: { label: costs.unit === 'ms' ? 'latency by the table, ms' : 'multiply-accumulates per image, millions' },
    y: { label: 'recorded accuracy on CIFAR-10, %', range: [floor, top + (top - floor) / 20] },
    series: [{ name: 'all networks', points: all, isCloud: true }, { name: 'random picks', points: picks }, ...strategies],
    lines: [{ name: 'true front', points: front }],
  })
}

/** Of one supernet. */
function rankingPlot(truth: Truth, ranked: readonly Ranked[]): string {
  const seriesOf = (name: string, sample: Ranked['sample']): Series => ({
    name,
    points: ranked
      .filter((each) => each.sample === sample)
      .map(({ path, batch }) => ({ x: batch.loss, y: truth.accuracyOf(path), title: path.join('') })),
  })
  return scatterSvg({
    title: 'Shared weights and full trainings',
    x: { label: 'loss with shared weights, held-out images' },
    y: { label: 'recorded accuracy on CIFAR-10, %' },
    series: [seriesOf('random networks', 'all'), seriesOf('random networks of equal cost', 'near')],
  })
}

export { foundPlot, rankingPlot }
