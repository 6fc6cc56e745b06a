import { describe, expect, it } from 'vitest'
import { runChaos } from '../chaos/chaos.ts'

const CHAOS_TIMEOUT_MS = 400_000

describe('npm run chaos, in short', () => {
  it(
    'processes die, stand still, lose their lines and their disk; what was acknowledged is there, once, and alpha and weights are what was sent',
    async () => {
      const { kills, tasks, acknowledged, checks, searches, pushes } = await runChaos({ kills: 3, seed: 1, agents: 2 })
      expect(kills).toBeGreaterThanOrEqual(3)
      expect(checks).toBeGreaterThanOrEqual(kills / 2)
      expect(searches).toBeGreaterThanOrEqual(1)
      expect(pushes).toBeGreaterThan(0)
      expect(acknowledged).toBeGreaterThan(0)
      expect(acknowledged).toBeLessThanOrEqual(tasks)
    },
    CHAOS_TIMEOUT_MS,
  )
})
