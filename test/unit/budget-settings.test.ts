import { describe, expect, it } from 'vitest'
import { fitToBudget } from '../../gatehouse/budget-settings.ts'
import { buildSearchConfig, checkSearchConfig } from '../../gatehouse/search-config-flags.ts'

const enough = { space: 'fashion-mini', dataset: 'fashion-mnist', 'target-ms': '2.5', table: 'my-cpu' }

function fit(flags: Record<string, string> = {}, sets: string[] = []) {
  const settings = buildSearchConfig(undefined, { ...enough, ...flags }, sets)
  const filled = fitToBudget(settings)
  return { filled: filled.map(({ field }) => field), config: checkSearchConfig(settings) }
}

describe('settings that suit the length of a search', () => {
  it('make alpha reach a decision in as many steps as there are, and its probabilities sharp by the end', () => {
    expect(fit({ steps: '2000' }).config).toMatchObject({
      strategy: {
        name: 'proxyless-g',
        form: 'full',
        warmupShare: 0.3,
        archEvery: 3,
        // 25 / (2000 · 0.7 / 3)
        learningRate: 0.054,
        evaluateEvery: 200,
        entropy: { end: 0.1 },
        // A fifth of 2000 · 64 images.
        finalists: { count: 16, images: 1600 },
      },
      latency: { loss: { kind: 'add#abs', lambda: 0.5, margin: 0.05 } },
      training: { learningRate: 0.1 },
    })
    expect(fit({ steps: '2000', strategy: 'darts' }).config).toMatchObject({
      strategy: { name: 'darts', warmupShare: 0.3, archEvery: 3, learningRate: 0.054, beta1: 0.5, entropy: { end: 0.1 } },
      latency: { loss: { kind: 'add#abs' } },
    })
    const rate = (steps: string, sets: string[] = []) => {
      const { strategy } = fit({ steps }, sets).config
      return strategy.name === 'proxyless-g' ? strategy.learningRate : null
    }
    expect([rate('100'), rate('20000'), rate('1000000')]).toEqual([0.1, 0.0054, 0.002])
    expect(rate('4000', ['strategy.archEvery=6'])).toBe(0.054)
  })

  it('leave what is set', () => {
    const sets = ['strategy.learningRate=0.5', 'strategy.warmupSteps=7', 'strategy.entropy={"end":0.5}', 'latency.loss.lambda=0.7']
    const { config, filled } = fit({ form: 'two', loss: 'add#linear' }, sets)
    expect(config.strategy).toMatchObject({ form: 'two', learningRate: 0.5, warmupSteps: 7, entropy: { end: 0.5, weight: 1 } })
    expect(config.strategy).not.toHaveProperty('warmupShare')
    expect(config.latency.loss).toEqual({ kind: 'add#linear', lambda: 0.7 })
    expect(filled).toEqual(['strategy.finalists', 'training.learningRate', 'strategy.evaluateEvery', 'strategy.archEvery'])
  })

  it('know other strategies with a distribution, and leave those that have none alone', () => {
    const parsec = fit({ strategy: 'parsec', steps: '2000' })
    expect(parsec.filled).toEqual([
      'strategy.warmupShare',
      'strategy.entropy',
      'strategy.finalists',
      'training.learningRate',
      'strategy.evaluateEvery',
    ])
    expect(fit({ strategy: 'one-shot' }).filled).toEqual([])
    const sizes = ['strategy.firstGeneration', 'strategy.population', 'strategy.generations', 'strategy.images']
    const smooth = ['strategy.smoothing', 'strategy.search', 'strategy.annealing.products']
    expect(fit({ strategy: 'spos' }).filled).toEqual(['strategy.score', ...sizes, ...smooth])
    expect(fit({ strategy: 'spos' }, ['strategy.score=batch-norms']).filled).toEqual(sizes)
    expect(fit({ strategy: 'spos' }, ['strategy.search=evolution']).filled).toEqual(['strategy.score', ...sizes, 'strategy.smoothing'])
  })

  it('evaluate no more than a fifth of the images that are trained on, in a short search of fewer architectures', () => {
    const evaluated = (steps: string) => {
      const { strategy } = fit({ steps }).config
      return strategy.name === 'proxyless-g' ? strategy.finalists : undefined
    }
    expect(evaluated('500')).toEqual({ count: 16, images: 400 })
    expect(evaluated('100000')).toEqual({ count: 16, images: 2000 })
    const spos = (steps: string) => fit({ strategy: 'spos', steps }).config.strategy
    expect(spos('2000')).toMatchObject({ firstGeneration: 96, population: 16, generations: 3, images: 200, smoothing: 0.9 })
    expect(spos('20000')).toMatchObject({ firstGeneration: 192, population: 16, generations: 3, images: 1143, smoothing: 0.9 })
  })

  it('fit no regression to the options of a space that has hundreds of them', () => {
    const space =
      '{"preset":"proxyless-mobile","name":"deep","stages":[{"width":16,"cells":32,"stride":1},{"width":24,"cells":32,"stride":2}]}'
    expect(fit({ steps: '2000', strategy: 'spos' }, [`space=${space}`]).filled).not.toContain('strategy.smoothing')
  })

  it('do not take the length of a search by hours for a number of steps', () => {
    const { config } = fit({ hours: '1' })
    expect(config.training.hours).toBe(1)
    expect(config.strategy).toMatchObject({ learningRate: 0.02, warmupShare: 0.3, finalists: { count: 16 } })
  })

  it('leave settings that are none to the schema, which names them', () => {
    for (const settings of [
      { strategy: 7 },
      { strategy: { name: 'sorcery' } },
      { training: { steps: 'many' } },
      { latency: { loss: 3 } },
    ]) {
      expect(() => fitToBudget(structuredClone(settings) as Record<string, unknown>)).not.toThrow()
    }
  })
})
