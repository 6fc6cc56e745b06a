import { describe, expect, it } from 'vitest'
import { stepsFor } from '../../bench/scaling/efficiency.ts'
import { createVirtualClock } from '../../bench/scaling/virtual-clock.ts'

describe('steps that one agent needs for an accuracy', () => {
  const ruler = [
    { steps: 500, accuracy: 0.3 },
    { steps: 1000, accuracy: 0.5 },
    { steps: 2000, accuracy: 0.6 },
  ]

  it.each([
    [0.3, 500],
    [0.4, 500 * Math.SQRT2],
    [0.5, 1000],
    [0.55, 1000 * Math.SQRT2],
    [0.6, 2000],
    [0.7, 4000],
    [0.2, 500 / Math.SQRT2],
  ])('%d: %d', (accuracy, steps) => {
    expect(stepsFor(accuracy, ruler)).toBeCloseTo(steps, 6)
  })

  it('takes no accuracy for more steps than it was reached with before', () => {
    expect(stepsFor(0.5, [...ruler.slice(0, 2), { steps: 2000, accuracy: 0.45 }, { steps: 4000, accuracy: 0.7 }])).toBeCloseTo(1000, 6)
  })
})

describe('the virtual clock', () => {
  it('lets sleepers wake in order, and stands still while somebody computes', async () => {
    const clock = createVirtualClock(0)
    const woken: [string, number][] = []
    const sleeper = async (name: string, ms: number) => {
      await clock.sleep(ms)
      woken.push([name, clock.nowMs()])
    }
    const computer = clock.compute(async () => {
      await new Promise((done) => setTimeout(done, 20))
      woken.push(['computed', clock.nowMs()])
      await clock.interrupt(15)
      woken.push(['resumed', clock.nowMs()])
    })
    const sleepers = [sleeper('late', 20), sleeper('early', 10)]
    await clock.run()
    await Promise.all([computer, ...sleepers])
    expect(woken).toEqual([
      ['computed', 0],
      ['early', 10],
      ['resumed', 15],
      ['late', 20],
    ])
  })
})
