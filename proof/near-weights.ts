// The weights that searches within a limit have: those of the supernet of a seed, trained on for a while on paths that cost nearly as much, as the
// last weight steps of `spos` are with `strategy.nearTarget`.

import { join } from 'node:path'
import { openBatchSource } from '../engine/datasets/index.ts'
import { createTrainer } from '../engine/training/trainer.ts'
import type { Path, Space } from '../search-space/index.ts'
import { rowsOver, type StrategyContext } from '../strategies/index.ts'
import { supernetIdentity, type SupernetParts, trainHere } from './seed-supernet.ts'
import { type NearSettings, searchConfig } from './settings.ts'
import { readSupernet, restore, type Supernet } from './supernet.ts'

type NearParts = SupernetParts & { readonly near: NearSettings }

/** One thread; trained to its end, or read from its file. Those of the supernet itself where there are no such steps. */
async function nearWeights(parts: NearParts, space: Space, seed: number, supernet: Supernet, limit: number): Promise<Supernet> {
  const { terminal, folder, backend, dataset, supernet: settings, near, costs } = parts
  const { steps, learningRate, least } = near
  if (steps === 0) return supernet
  const file = join(folder, `seed-${seed}`, `near-${limit}.safetensors`)
  const of = supernetIdentity(settings, dataset.fingerprint, seed)
  const identity = JSON.stringify({ supernet: of, limit, costs: costs.latency, ...near })
  const before = readSupernet(file, identity)
  if (before && before.cost.steps >= steps) return before
  const strategy = { name: 'spos', nearTarget: { share: 1, least } } as const
  const config = searchConfig({ ...settings, learningRate }, { seed, steps, strategy, limit })
  const context: StrategyContext = { space, latency: costs.latency, config, rows: rowsOver(new Map()) }
  const source = await openBatchSource(dataset)
  const trainer = createTrainer({ backend, dataset, source, space, config, accumulate: 1, onNote: (line) => terminal.note(line) })
  restore(trainer, space, supernet)
  const label = `seed ${seed}   near ${limit} ${costs.unit}:`
  return trainHere({ terminal, trainer, context, sampling: 'uniform', threads: 1, file, identity, label })
}

/** Whether a network costs nearly as much as a limit. */
function isNearLimit(costOf: (path: Path) => number, limit: number, { least }: Pick<NearSettings, 'least'>): (path: Path) => boolean {
  return (path) => costOf(path) <= limit && costOf(path) >= least * limit
}

export { isNearLimit, type NearParts, nearWeights }
