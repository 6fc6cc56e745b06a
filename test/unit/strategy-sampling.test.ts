import { describe, expect, it } from 'vitest'
import type { SearchConfigInput, TaskWork } from '../../protocol/index.ts'
import { softmax } from '../../strategies/distribution.ts'
import { proxylessGradient } from '../../strategies/proxyless-gradient.ts'
import { makeContext } from '../fixtures/searches.ts'

const ALPHA = [0.9, -0.4, 0.2, 0]
const P = softmax(ALPHA)
const DRAWS = 40_000

/** Work of one block with four operations and alpha as above; results never come, so alpha stays as it is. */
function proposals(
  strategy: Partial<Extract<NonNullable<SearchConfigInput['strategy']>, { name: 'proxyless-g' }>>,
  steps: number,
): TaskWork[] {
  const context = makeContext({
    blocks: 1,
    kernels: [3],
    expansions: [1, 2, 3],
    steps,
    strategy: { initialAlpha: [ALPHA], archEvery: 1, evaluateEvery: 1_000_000, ...strategy },
    tasks: { weightSteps: 1000, architectureSteps: 1000 },
  })
  const works: TaskWork[] = []
  let state = proxylessGradient.init(context)
  for (
    let proposal = proxylessGradient.propose(state, context);
    proposal.kind === 'work';
    proposal = proxylessGradient.propose(state, context)
  ) {
    works.push(proposal.work)
    state = proposal.state
  }
  return works
}

/** Fails unless each key was drawn with its probability, within five standard errors, and nothing else was. */
function expectFrequencies(drawn: readonly string[], expected: ReadonlyMap<string, number>): void {
  const counts = new Map<string, number>()
  for (const key of drawn) counts.set(key, (counts.get(key) ?? 0) + 1)
  expect([...counts.keys()].every((key) => expected.has(key))).toBe(true)
  for (const [key, p] of expected) {
    const share = (counts.get(key) ?? 0) / drawn.length
    expect(Math.abs(share - p), `${key}: ${share} instead of ${p}`).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / drawn.length))
  }
}

const gateChoices = (works: readonly TaskWork[]) =>
  works.flatMap((work) => (work.kind === 'gateGradients' ? work.steps.map((step) => step[0]!) : []))
const weightChoices = (works: readonly TaskWork[]) =>
  works.flatMap((work) => (work.kind === 'trainWeights' ? work.paths.map((path) => path[0]!) : []))
const pairs = ALPHA.flatMap((_, a) => ALPHA.flatMap((__, b) => (a === b ? [] : [[a, b] as const])))

describe('sampling', () => {
  it('draws weight paths uniformly during the warm-up', () => {
    const choices = weightChoices(proposals({ warmupSteps: DRAWS }, DRAWS))
    expect(choices).toHaveLength(DRAWS)
    expectFrequencies(choices.map(String), new Map(ALPHA.map((_, operation) => [String(operation), 0.25])))
  })

  it('draws weight paths from p after the warm-up', () => {
    const choices = weightChoices(proposals({ warmupSteps: 0 }, DRAWS))
    expectFrequencies(choices.map(String), new Map(P.map((p, operation) => [String(operation), p])))
  })

  it('switches at exactly the step at which the warm-up ends, also within what would be one task', () => {
    const certain = proposals({ warmupSteps: 1500, initialAlpha: [[80, 0, 0, 0]] }, 3000)
    const choices = weightChoices(certain)
    expect(choices.slice(1500).every((operation) => operation === 0)).toBe(true)
    expectFrequencies(choices.slice(0, 1500).map(String), new Map([0, 1, 2, 3].map((operation) => [String(operation), 0.25])))
  })

  it('two: draws a pair by p without replacement, and the active one of it by the softmax of the pair', () => {
    const choices = gateChoices(proposals({ warmupSteps: 0, form: 'two' }, DRAWS))
    expect(choices).toHaveLength(DRAWS)
    const expected = new Map<string, number>()
    for (const [a, b] of pairs) {
      const [pa, pb] = [P[a] as number, P[b] as number]
      const pair = (pa * pb) / (1 - pa) + (pb * pa) / (1 - pb)
      expected.set(`${a}|${b}`, (pair * pa) / (pa + pb))
    }
    expect([...expected.values()].reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12)
    expectFrequencies(
      choices.map(({ active, inactive }) => `${active}|${inactive.join()}`),
      expected,
    )
  })

  it('full: draws the active operation by p, all others are inactive', () => {
    const choices = gateChoices(proposals({ warmupSteps: 0, form: 'full' }, DRAWS))
    expectFrequencies(
      choices.map(({ active }) => String(active)),
      new Map(P.map((p, operation) => [String(operation), p])),
    )
    for (const { active, inactive } of choices.slice(0, 100))
      expect(inactive).toEqual([0, 1, 2, 3].filter((operation) => operation !== active))
  })

  it('still finds two different operations when alpha leaves no doubt', () => {
    const choices = gateChoices(proposals({ warmupSteps: 0, form: 'two', initialAlpha: [[80, -80, -80, -80]] }, 1000))
    for (const { active, inactive } of choices) {
      expect(active).toBe(0)
      expect([1, 2, 3]).toContain(inactive[0])
    }
  })

  it('leaves a block with one operation alone: no pair, no other gate', () => {
    const context = makeContext({ blocks: 1, expansions: [2], zero: false, steps: 4, strategy: { warmupSteps: 0, archEvery: 1 } })
    let state = proxylessGradient.init(context)
    for (
      let proposal = proxylessGradient.propose(state, context);
      proposal.kind === 'work';
      proposal = proxylessGradient.propose(state, context)
    ) {
      state = proposal.state
      if (proposal.work.kind === 'gateGradients') expect(proposal.work.steps[0]).toEqual([{ active: 0, inactive: [] }])
    }
  })

  it('starts alpha normal with the asked deviation', () => {
    const context = makeContext({ blocks: 64, expansions: [1, 2, 3, 4, 5], kernels: [1, 3, 5], strategy: { initialDeviation: 0.5 } })
    const alpha = proxylessGradient.init(context).alpha.flat()
    expect(alpha).toHaveLength(64 * 16)
    const deviation = Math.sqrt(alpha.reduce((sum, value) => sum + value ** 2, 0) / alpha.length)
    expect(Math.abs(deviation - 0.5)).toBeLessThan((5 * 0.5) / Math.sqrt(2 * alpha.length))
  })
})
