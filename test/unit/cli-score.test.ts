import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { temporaryFolder, TINY_SPACE, writeTinyDataset } from '../e2e/harness.ts'
import { spaceRefSchema } from '../../search-space/index.ts'
import { createRecordedScores } from '../../simulation/recorded-scores.ts'
import { readRecordedTable } from '../../simulation/recorded-table.ts'
import { runGatehouse } from '../fixtures/command.ts'

const folder = temporaryFolder()
const list = ['tiny:mb2k3,zero,mb2k5', 'tiny:zero,zero,mb2k3', 'tiny:mb2k5,mb2k5,mb2k5']

beforeAll(() => {
  writeTinyDataset(folder.path)
  writeFileSync(join(folder.path, 'space.json'), JSON.stringify(TINY_SPACE))
  writeFileSync(join(folder.path, 'list.txt'), `# three\n${list.join('\n')}\n`)
  writeFileSync(
    join(folder.path, 'recorded.csv'),
    ['architecture,accuracy', ...list.map((name, i) => `"${name}",${60 + 10 * i}`)].join('\n'),
  )
})
afterAll(() => folder.remove())

const run = (args: readonly string[], changes: Parameters<typeof runGatehouse>[1] = {}) =>
  runGatehouse(['score', '--space', '@space.json', '--data', '.', '--backend', 'wasm', ...args], { folder: folder.path, ...changes })

type Printed = {
  summary: {
    networks: number
    recorded: number
    stepSeconds: number
    scores: { name: string; spearman: number | null; kendall: number | null }[]
  }
  networks: { architecture: string; scores: Record<string, number | null>; seconds: Record<string, number>; accuracy: number | null }[]
}

describe('gatehouse score', () => {
  test('scores a list, and says how far its order is that of known accuracies', async () => {
    const { code, out, err } = await run([
      '--list',
      'list.txt',
      '--scores',
      'params,naswot',
      '--batch',
      '16',
      '--recorded',
      'recorded.csv',
      '--json',
    ])
    expect(code, err).toBe(0)
    const { summary, networks } = JSON.parse(out) as Printed
    expect(networks.map(({ architecture }) => architecture)).toEqual(list)
    expect(networks.map(({ accuracy }) => accuracy)).toEqual([0.6, 0.7, 0.8])
    const [first = 0, second = 0, third = 0] = networks.map(({ scores }) => scores['params'] as number)
    expect([second < first, first < third]).toEqual([true, true])
    expect(summary).toMatchObject({ networks: 3, recorded: 3 })
    expect(summary.scores.map(({ name }) => name)).toEqual(['params', 'naswot', 'log-rank'])
    // Ranks 2, 1, 3 against 1, 2, 3.
    expect(summary.scores[0]?.spearman).toBeCloseTo(0.5, 12)
    expect(summary.scores[0]?.kendall).toBeCloseTo(1 / 3, 12)
    expect(summary.stepSeconds).toBeGreaterThan(0)
  })

  test('shows a table, and the same numbers for the same seed', async () => {
    const args = ['--random', '3', '--scores', 'synflow,l2_norm', '--batch', '16', '--seed', '4']
    const { code, out, err } = await run(args)
    expect(code, err).toBe(0)
    expect(out).toMatch(/^architecture +synflow +l2_norm$/m)
    expect(out).toContain('3 networks; median times; one training step takes')
    expect(err).toMatch(/^3 of 3 {2}tiny:/m)
    const numbers = (text: string) => text.split('\n\n')[0]
    expect(numbers((await run(args)).out)).toBe(numbers(out))
  })

  test('goes on behind what a file has, even one whose last row was cut off, and refuses one of other settings', async () => {
    const file = join(folder.path, 'out', 'scores.csv')
    const args = ['--list', 'list.txt', '--scores', 'params,snip,jacob_cov', '--batch', '16', '--out', 'out/scores.csv']
    const stop = new AbortController()
    const broken = await run(args, {
      interrupted: stop.signal,
      note: (line) => line.startsWith('1 of 3') && stop.abort(new Error('stopped')),
    })
    expect(broken.code).not.toBe(0)
    const begun = readFileSync(file, 'utf8')
    expect(begun.trimEnd().split('\n')).toHaveLength(2)
    writeFileSync(file, `${begun}"tiny:zero,ze`)
    const { code, err } = await run(args)
    expect(code, err).toBe(0)
    expect(err).toContain('1 of 3 networks are in out/scores.csv')
    const whole = readFileSync(file, 'utf8')
    expect(whole.startsWith(begun)).toBe(true)
    expect(whole.trimEnd().split('\n')).toHaveLength(4)
    const again = await run(args)
    expect([again.code, readFileSync(file, 'utf8')]).toEqual([0, whole])
    expect((await run([...args, '--seed', '9'])).err).toContain('choose another --out')
    expect((await run([...args.slice(0, 3), 'params', ...args.slice(4)])).err).toContain('other columns')
  })

  test('writes a table of scores that `gatehouse simulate` takes', () => {
    const read = (file: string) => readFileSync(join(folder.path, file), 'utf8')
    const benchmark = readRecordedTable(read('recorded.csv'), {
      space: spaceRefSchema.parse(TINY_SPACE),
      metric: 'accuracy',
      name: 'recorded',
    })
    const scores = createRecordedScores(read('out/scores.csv'), benchmark, 'accuracy')
    const rows = read('out/scores.csv').trimEnd().split('\n').slice(1)
    const found = [...benchmark.paths()].map((path) => scores.read('snip', path))
    expect(found).toEqual(rows.map((row) => Number(row.replace(/^"[^"]*",/, '').split(',')[1])))
    expect(found.every((value) => Number(value) > 0)).toBe(true)
  })

  test('names what is wrong', async () => {
    expect((await run(['--scores', 'params,ntk'])).err).toContain('expected --scores')
    expect((await run(['--architecture', 'tiny:mb2k3'])).err).toContain('expected 3 options')
    expect((await run(['--list', 'none.txt'])).err).toContain('none.txt')
    expect((await run(['--random', '1', '--recorded', 'none.csv'])).err).toContain('none.csv')
  })
})
