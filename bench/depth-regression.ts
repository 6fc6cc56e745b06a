// npm run bench:depth-regression -- --recorded nas-bench-macro_cifar10.json [--supernet seed-1/supernet.safetensors] [--limit 75] [--networks 192]
//
// What is it worth that a regression on options knows the depth, and how much is its coefficient to be shrunk? Random networks of NAS-Bench-Macro
// within a limit are drawn, and a regression fitted to their recorded accuracies, or, with a supernet, to their accuracies with shared weights, says
// which of all networks within the limit is the best: how far short of the best recorded one that is, in points, and Kendall's tau with the recorded
// accuracies, of all networks within the limit and of the best quarter of those that cost nearly as much. Means of many draws.

import { parseArgs } from 'node:util'
import { kendallTau } from '../latency-lut/table/agreement.ts'
import { isNearLimit } from '../proof/near-weights.ts'
import { withoutSkips } from '../proof/ranking.ts'
import { MILLION, NEAR } from '../proof/settings.ts'
import { drawSome, openTruth } from '../proof/truth.ts'
import { createRandom, type Path, seedState } from '../search-space/index.ts'
import { mean } from '../simulation/recorded-benchmark.ts'
import { fitRegression } from '../strategies/index.ts'
import { BATCH_SIZE, scoresWith } from './supernet-scores.ts'

const { values } = parseArgs({
  options: {
    recorded: { type: 'string', default: 'nas-bench-macro_cifar10.json' },
    supernet: { type: 'string' },
    limit: { type: 'string', default: '75' },
    networks: { type: 'string', default: '192' },
    images: { type: 'string', default: '2048' },
    width: { type: 'string', default: '0.5' },
  },
})
/** null: the regression knows nothing of the depth. */
const SHRINKAGES = [null, 1, 5, 30, 60, 120, 250] as const
const RIDGE = 1
const DRAWS = 60
/** Of the networks that were evaluated, in a draw. */
const DRAWN = 0.8
/** Networks whose order is compared. */
const COMPARED = 600
const BEST = 0.25

const { truth } = openTruth(values.recorded)
const limit = Number(values.limit) * MILLION
const random = createRandom(seedState('bench', 1))
const within = truth.paths.filter((path) => truth.macsOf(path) <= limit)
const byAccuracy = (paths: readonly Path[]) => paths.toSorted((a, b) => truth.accuracyOf(b) - truth.accuracyOf(a))
const near = byAccuracy(within.filter(isNearLimit(truth.macsOf, limit, NEAR)))
const samples = [drawSome(within, COMPARED, random), near.slice(0, Math.round(BEST * near.length))] as const
const best = truth.accuracyOf(byAccuracy(within)[0] as Path)

const count = Math.round(Number(values.networks) / (values.supernet === undefined ? 1 : DRAWN))
const evaluated = drawSome(within, count, random)
const scores = values.supernet
  ? await scoresWith(values.supernet, Number(values.width), evaluated, Math.ceil(Number(values.images) / BATCH_SIZE))
  : null
const examplesOf = (paths: readonly Path[]) => paths.map((path) => ({ path, score: truth.accuracyOf(path) }))
const measured = scores?.map((own, i) => ({ path: evaluated[i] as Path, score: mean(own.map(({ accuracy }) => accuracy)) }))
const draws = Array.from({ length: DRAWS }, () =>
  measured ? drawSome(measured, Number(values.networks), random) : examplesOf(drawSome(within, Number(values.networks), random)),
)

process.stdout.write('shrinkage\tpoints short\ttau, within\ttau, best quarter near the limit\n')
for (const depthShrinkage of SHRINKAGES) {
  const decisions = depthShrinkage === null ? withoutSkips(truth.decisions) : truth.decisions
  const found = draws.map((examples) => {
    const valueOf = fitRegression(examples, { decisions, places: [], ridge: RIDGE, depthShrinkage: depthShrinkage ?? undefined })
    const said = within.map(valueOf)
    const answer = within[said.indexOf(Math.max(...said))] as Path
    const taus = samples.map((paths) => kendallTau(paths.map(valueOf), paths.map(truth.accuracyOf)))
    return [best - truth.accuracyOf(answer), ...taus]
  })
  const row = [0, 1, 2].map((column) => mean(found.map((each) => each[column] as number)).toFixed(3))
  process.stdout.write(`${[depthShrinkage ?? 'no depth', ...row].join('\t')}\n`)
}
