// NAS-Bench-Macro (Su et al. 2021, "Prioritized Architecture Sampling with Monto-Carlo Tree Search"): 3^8 networks, each trained
// three times on CIFAR-10. Its published file is an object by architecture, one digit for each block.

import * as z from 'zod'
import { resolveSpaceConfig } from '../search-space/index.ts'
import type { Recorded, RecordedBenchmark } from './recorded-benchmark.ts'

const TEST_IMAGES = 10_000

/** Accuracies in percent. */
const fileSchema = z.record(
  z.string().regex(/^[012]{8}$/, 'expected eight digits from 0 to 2'),
  z.object({ test_acc: z.array(z.number().min(0).max(100)).min(1) }),
)

/** Throws ZodError for a file of another form. */
function createNasBenchMacro(file: unknown): RecordedBenchmark {
  const records = new Map(
    Object.entries(fileSchema.parse(file)).map(([name, record]): [string, Recorded] => {
      const accuracies = record.test_acc.map((percent) => percent / 100)
      // Its authors have no images that a search was not shown.
      return [name, { accuracies, test: null, seconds: null }]
    }),
  )
  return {
    name: 'NAS-Bench-Macro',
    citation: 'Su et al. 2021, github.com/xiusu/NAS-Bench-Macro, Apache-2.0',
    space: resolveSpaceConfig({ preset: 'nas-bench-macro' }),
    images: TEST_IMAGES,
    epochs: null,
    paths: () => [...records.keys()].map((name) => [...name].map(Number)),
    read: (path) => records.get(path.join('')) ?? 'not-recorded',
  }
}

export { createNasBenchMacro }
