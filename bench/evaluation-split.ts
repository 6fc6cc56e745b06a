// npm run bench:evaluation-split -- --recorded nas-bench-macro_cifar10.json [--supernet seed-1/supernet.safetensors] [--limit 60] [--networks 320]
//
// How many architectures should share the images that a search has for evaluating them with shared weights? Random networks of
// NAS-Bench-Macro are evaluated with a supernet that `npm run proof` has left; from some of them, on some of the mini-batches, a regression on
// options predicts all networks that cost nearly as much as a limit: Kendall's tau with their recorded accuracies, mean of many draws, for
// each number of networks and of images.

import { parseArgs } from 'node:util'
import { kendallTau } from '../latency-lut/table/agreement.ts'
import { isNearLimit } from '../proof/near-weights.ts'
import { withoutSkips } from '../proof/ranking.ts'
import { MILLION, NEAR, proofSpace } from '../proof/settings.ts'
import { drawSome, openTruth } from '../proof/truth.ts'
import { createRandom, createSpace, randomPath, seedState } from '../search-space/index.ts'
import { mean } from '../simulation/recorded-benchmark.ts'
import { fitOptions } from '../strategies/index.ts'
import { BATCH_SIZE, scoresWith } from './supernet-scores.ts'

const { values } = parseArgs({
  options: {
    recorded: { type: 'string', default: 'nas-bench-macro_cifar10.json' },
    supernet: { type: 'string', default: '.gatehouse/proof/seed-1/supernet.safetensors' },
    limit: { type: 'string', default: '60' },
    networks: { type: 'string', default: '320' },
    width: { type: 'string', default: '0.5' },
  },
})
/** At most as many as were evaluated. */
const NETWORKS = [20, 40, 80, 160, 320]
const BATCHES = [2, 4, 8, 16, 32, 46]
const DRAWS = 40

const { truth } = openTruth(values.recorded)
const space = createSpace(proofSpace(Number(values.width)))
const random = createRandom(seedState('bench', 1))
const paths = Array.from({ length: Number(values.networks) }, () => randomPath(space, random))
const mostBatches = Math.max(...BATCHES)
const scores = await scoresWith(values.supernet, Number(values.width), paths, mostBatches)

/** Of single options alone: what more networks and more images bring is not to be mixed with what is known of the depth. */
const decisions = withoutSkips(space.decisions)
const near = truth.paths.filter(isNearLimit(truth.macsOf, Number(values.limit) * MILLION, NEAR))
const accuracies = near.map(truth.accuracyOf)
const indices = (count: number) => Array.from({ length: count }, (_, i) => i)

/** Of one draw of networks and mini-batches. */
function tauOf(networks: number, batches: number): number {
  const seen = drawSome(indices(mostBatches), batches, random)
  const examples = drawSome(indices(paths.length), networks, random).map((index) => {
    return { path: paths[index] as number[], score: -mean(seen.map((batch) => scores[index]?.[batch]?.loss ?? Number.NaN)) }
  })
  return kendallTau(near.map(fitOptions(examples, { decisions })), accuracies)
}

const columns = BATCHES.map((batches) => String(batches * BATCH_SIZE))
process.stdout.write(`${['networks', ...columns.map((images) => `${images} images`)].join('\t')}\n`)
for (const networks of NETWORKS.filter((count) => count <= paths.length)) {
  const row = BATCHES.map((batches) => mean(indices(DRAWS).map(() => tauOf(networks, batches))).toFixed(3))
  process.stdout.write(`${[networks, ...row].join('\t')}\n`)
}
