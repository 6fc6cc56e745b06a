import fc from 'fast-check'
import { expect, test } from 'vitest'

import { createTally } from '../../engine/training/score.ts'

test('top-1, top-5 and cross-entropy are those of sorted softmax outputs, over any batches', () => {
  const classes = 7
  const row = fc.record({
    logits: fc.array(fc.integer({ min: -8, max: 8 }), { minLength: classes, maxLength: classes }),
    label: fc.nat(classes - 1),
  })
  fc.assert(
    fc.property(fc.array(row, { minLength: 1, maxLength: 12 }), fc.integer({ min: 1, max: 12 }), (rows, batch) => {
      const tally = createTally()
      for (let at = 0; at < rows.length; at += batch) {
        const part = rows.slice(at, at + batch)
        tally.add(
          Float32Array.from(part.flatMap(({ logits }) => logits)),
          Int32Array.from(part, ({ label }) => label),
        )
      }
      const guesses = rows.map(({ logits }) => logits.map((_, c) => c).toSorted((a, b) => logits[b]! - logits[a]! || a - b))
      const share = (n: number) => rows.filter(({ label }, i) => guesses[i]!.slice(0, n).includes(label)).length / rows.length
      const losses = rows.map(({ logits, label }) => {
        const exponentials = logits.map(Math.exp)
        return -Math.log(exponentials[label]! / exponentials.reduce((a, b) => a + b, 0))
      })
      const score = tally.score()
      expect(score.top1).toBeCloseTo(share(1), 12)
      expect(score.top5).toBeCloseTo(share(5), 12)
      expect(score.crossEntropy).toBeCloseTo(losses.reduce((a, b) => a + b, 0) / rows.length, 6)
      expect(score.images).toBe(rows.length)
    }),
  )
})

test('an output that is not a number is a wrong guess', () => {
  const tally = createTally()
  tally.add(Float32Array.of(Number.NaN, Number.NaN), Int32Array.of(0))
  expect(tally.score()).toMatchObject({ top1: 0, top5: 0 })
})
