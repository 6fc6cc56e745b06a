import { expect, it } from 'vitest'

import { createTrainProgress } from '../../models/cli/train-progress.ts'

it('progress tells images a second and the time left, of training alone, at most a line every 5 seconds', () => {
  const lines: string[] = []
  let nowMs = 0
  const progress = createTrainProgress(
    (line) => void lines.push(line),
    50,
    () => nowMs,
  )
  const schedule = { stepsPerEpoch: 10, steps: 40, warmupSteps: 0 }
  const step = (done: number, ms: number) => {
    nowMs += ms
    progress.onStep(done, schedule, 1)
  }
  // The first step compiles, and is not counted.
  step(1, 3000)
  for (let done = 2; done <= 10; done++) step(done, 1000)
  expect(lines).toEqual(['step 3 of 40  loss 1.000  50 images/s  37 s left', 'step 8 of 40  loss 1.000  50 images/s  32 s left'])
  // An evaluation of half a minute.
  nowMs += 30_000
  progress.onReport({ epoch: 1, step: 10, trainLoss: 2, validation: { top1: 0.5, top5: 0.75, crossEntropy: 1.5, images: 8 } })
  expect(lines.at(-1)).toBe(
    'epoch 1 of 4  step 10  loss 2.000  validation top-1 50.0 %, top-5 75.0 %, cross-entropy 1.500  50 images/s  30 s left',
  )
  for (let done = 11; done <= 14; done++) step(done, 500)
  expect(lines).toHaveLength(3)
  for (let done = 15; done <= 40; done++) step(done, 500)
  expect(progress.imagesPerSecond()).toBeCloseTo((39 * 50) / (9 + 15), 6)
})
