import { describe, expect, test } from 'vitest'
import { peakActivationBytes, presetNames } from '../../search-space/index.ts'
import { createBuilder } from './executor-graph-builder.ts'
import { runGatehouse } from '../fixtures/command.ts'

const space = (...args: string[]) => runGatehouse(['space', ...args])

describe('gatehouse space', () => {
  test('list names every preset with its size', async () => {
    const { code, out } = await space('list', '--json')
    expect(code).toBe(0)
    const spaces = JSON.parse(out) as { name: string }[]
    expect(spaces.map(({ name }) => name)).toEqual(presetNames)
    // 6 choices without, 7 with a shortcut: 6 and 15 of 21 blocks.
    expect(spaces[0]).toMatchObject({ name: 'proxyless-mobile', decisions: 21, latencyKeys: 70, additive: true })
    expect(spaces[0]).toMatchObject({
      log10Architectures: expect.closeTo(Math.log10(6 ** 6 * 7 ** 15), 9),
      supernet: { parameters: 16_034_168 },
    })
    expect(spaces.find(({ name }) => name === 'nas-bench-201')).toMatchObject({
      architectures: 15_625,
      entropy: expect.closeTo(6 * Math.log(5), 9),
    })
    // 7 for each of 648 edges: more than a floating-point number holds.
    expect(spaces.find(({ name }) => name === 'proxyless-cifar')).toMatchObject({
      architectures: null,
      log10Architectures: expect.closeTo(648 * Math.log10(7), 9),
    })
    expect((await space('list')).out).toMatch(/^proxyless-mobile +224x224x3 +21 +10\^17\.3 /m)
  })

  test('show says decisions and options, of presets and of settings', async () => {
    const shown = JSON.parse((await space('show', 'nas-bench-macro', '--json')).out) as { decisions: { name: string; options: string[] }[] }
    expect(shown.decisions).toHaveLength(8)
    expect(shown.decisions[1]).toMatchObject({ name: 'stage1.2', options: ['identity', 'mb3k3', 'mb6k5'] })
    const small = await space('show', '{"preset":"cell-mini","nodes":3}')
    expect(small.out).toContain('architectures  125; entropy 4.8 nats over 3 decisions')
    expect(small.out).toContain('none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3 (each decision)')
  })

  test('show prints an architecture, part by part', async () => {
    const name = 'nas-bench-201:|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|'
    const shown = JSON.parse((await space('show', 'nas-bench-201', '--architecture', name, '--json')).out) as {
      macs: number
      parameters: number
      peakActivationBytes: number
      parts: unknown[]
    }
    expect(shown).toMatchObject({ architecture: name, macs: 222_860_992, parameters: 1_531_546, network: null })
    expect(shown.parts).toHaveLength(4 + 6 * 15)
    expect((await space('show', 'nas-bench-201', '--architecture', name)).out).toContain('223 M multiply-accumulates')
  })

  test.each([
    [['show', 'nothing'], 'no space is called "nothing"; there are proxyless-mobile'],
    [['show', '{'], 'the space is not valid JSON'],
    [['show', '{"preset":"cell-mini","nodes":99}'], 'the space is not valid'],
    [['show', 'cell-mini', '--architecture', 'x'], 'expected an architecture of the form'],
  ])('refuses %j', async (args, message) => {
    const { code, err } = await space(...args)
    expect(code).toBe(2)
    expect(err).toContain(message)
  })
})

describe('activations in memory', () => {
  const bytes = (...counts: number[]) => 4 * counts.reduce((sum, count) => sum + count, 0)

  test('are those that something still reads', () => {
    const chain = createBuilder([4, 4, 2]).conv('a', 8).conv('b', 3).globalPool('pool').build().graph
    // Input 32, a 128, b 48, pool 3: a with the larger of its neighbours.
    expect(peakActivationBytes(chain)).toBe(bytes(128, 48))
    const shortcut = createBuilder([4, 4, 2]).conv('a', 8).conv('b', 4).conv('c', 8).add('sum', 'c', 'a').build().graph
    // While c is made from b, a waits for the sum; the sum needs a, c and itself.
    expect(peakActivationBytes(shortcut)).toBe(bytes(128, 128, 128))
  })
})
