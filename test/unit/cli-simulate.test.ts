import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runGatehouse } from '../fixtures/command.ts'

let folder: string
let table: string
const SPACE = JSON.stringify({ preset: 'cell-mini', nodes: 3, operations: ['none', 'nor_conv_3x3'] })

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-simulate-'))
  table = join(folder, 'table.csv')
  const rows = Array.from({ length: 8 }, (_, i) => {
    const digits = i.toString(2).padStart(3, '0')
    const percent = 50 + 5 * [...digits].filter((digit) => digit === '1').length + (digits === '101' ? 20 : 0)
    return `${digits},${percent},${percent - 1}`
  })
  writeFileSync(table, ['ops,acc_valid,acc_test', ...rows].join('\n'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, out, err } = await runGatehouse(['simulate', ...args], { folder })
  return { code, stdout: out, stderr: err }
}
const onTable = (...args: string[]) => run('--recorded', table, '--space', SPACE, '--metric', 'acc', '--seeds', '3', ...args)

describe('gatehouse simulate', () => {
  test('prints what a strategy finds, by how much was evaluated', async () => {
    const { code, stdout, stderr } = await onTable('--budget', '200', '--at', '50,200')
    expect(code, stderr).toBe(0)
    expect(stdout).toContain('proxyless-r on')
    expect(stdout).toContain('3 seeds, 1 agent, 8 architectures')
    expect(stdout).toMatch(/^ +200 +\d+\.\d\d +80\.00 % +79\.00 % +79\.00 % to 79\.00 % +1$/m)
    expect(stdout).toContain('3 of 3 seeds evaluated the best of all')
    expect(stderr).toContain('seed 3 of 3')
  })

  test('as JSON, with the settings that were asked for', async () => {
    const { code, stdout } = await onTable(
      '--strategy',
      'parsec',
      '--set',
      'strategy.temper=64',
      '--set',
      'strategy.samples=4',
      '--budget',
      '200',
      '--json',
    )
    expect(code).toBe(0)
    const result = JSON.parse(stdout) as { strategy: string; samples: number; curve: unknown[]; medianRank: number; optimumShare: number }
    expect(result).toMatchObject({ strategy: 'parsec', budget: 200, seeds: 3, medianRank: 1, optimumShare: 1 })
    expect(result.samples).toBe(200)
    expect(result.curve).toHaveLength(10)
  })

  test('within a bound on a column of another table, among the architectures that keep it', async () => {
    const costs = join(folder, 'costs.csv')
    // The best of all, 101, is beyond the bound; of the others 111 is the best.
    const rows = Array.from({ length: 8 }, (_, i) => `${i.toString(2).padStart(3, '0')},${i === 5 ? 9 : 1 + i / 10}`)
    writeFileSync(costs, ['ops,phone', ...rows].join('\n'))
    for (const strategy of ['local-search', 'parsec', 'proxyless-r']) {
      const bound = ['--costs', costs, '--bound', 'recorded:phone=5', '--strategy', strategy, '--budget', '300']
      const { code, stdout, stderr } = await onTable(...bound, '--json')
      expect(code, stderr).toBe(0)
      expect(JSON.parse(stdout), strategy).toMatchObject({
        of: 7,
        bounds: [{ cost: 'recorded:phone', atMost: 5 }],
        keptShare: 1,
        medianRank: 1,
        regret: 0,
        optimumShare: 1,
      })
    }
    const { stdout } = await onTable('--costs', costs, '--bound', 'recorded:phone=5', '--strategy', 'random', '--budget', '7')
    expect(stdout).toContain('3 of 3 keep recorded:phone ≤ 5; all figures are among the 7 architectures that do')
  })

  test('takes recorded scores, by the index of a row too', async () => {
    const rows = readFileSync(table, 'utf8').split('\n')
    const numbered = join(folder, 'numbered.csv')
    writeFileSync(numbered, rows.map((row, i) => `${i === 0 ? 'index' : i},${row}`).join('\n'))
    // The best by score is row 3, 010: 55 %.
    const scores = join(folder, 'scores.csv')
    writeFileSync(
      scores,
      ['index,naswot_acc,naswot_other', ...rows.slice(1).map((_, i) => `${i + 1},${i === 2 ? 9 : '-inf'},${i}`)].join('\n'),
    )
    const search = ['--strategy', 'random', '--budget', '1', '--set', 'latency.targetMs=1000']
    const warm = (name: string) => ['--set', `strategy.scores={"names":["${name}"],"warmup":8}`]
    const args = ['--recorded', numbered, '--space', SPACE, '--metric', 'acc', '--seeds', '3', ...search, '--json']
    const { code, stdout, stderr } = await run(...args, '--scores', scores, ...warm('naswot'))
    expect(code, stderr).toBe(0)
    expect((JSON.parse(stdout) as { curve: unknown[] }).curve).toMatchObject([{ evaluations: 1, validMean: 0.55 }])
    // Parameters follow from the space: all edges are convolutions in 111.
    const byParams = await run(...args, ...warm('params'))
    expect((JSON.parse(byParams.stdout) as { curve: unknown[] }).curve).toMatchObject([{ validMean: 0.65 }])
    const missing = await run(...args, '--scores', scores, ...warm('synflow'))
    expect([missing.code, missing.stderr]).toEqual([6, expect.stringContaining('synflow')])
    writeFileSync(scores, 'index,naswot\n99,1')
    expect((await run(...args, '--scores', scores, ...warm('naswot'))).stderr).toContain('line 2')
    writeFileSync(scores, 'index,other\n1,1')
    expect((await run(...args, '--scores', scores, ...warm('naswot'))).stderr).toContain('expected a column for one of')
  })

  test('draws the curve', async () => {
    for (const name of ['curve.svg', 'curve.png']) {
      const path = join(folder, name)
      expect((await onTable('--budget', '100', '--plot', path)).code).toBe(0)
      const bytes = readFileSync(path)
      if (name.endsWith('.svg')) expect(bytes.toString()).toContain('accuracy of the best so far')
      else expect([...bytes.subarray(1, 4)]).toEqual([...Buffer.from('PNG')])
    }
  })

  test.each([
    [['--recorded', 'absent.csv'], 'absent.csv'],
    [['--recorded', 'TABLE'], 'wants --space'],
    [['--recorded', 'TABLE', '--space', 'nothing'], 'the space is not valid'],
    [['--recorded', 'TABLE', '--space', '{'], '--space is not valid JSON'],
    [['--recorded', 'TABLE', '--space', 'SPACE'], 'expected a column called accuracy_valid or accuracy'],
    [['--recorded', 'TABLE', '--space', 'SPACE', '--metric', 'acc', '--at', '999'], 'expected --at to be a whole number from 1 to 300'],
    [['--recorded', 'TABLE', '--space', 'SPACE', '--metric', 'acc', '--plot', 'x.gif'], 'expected --plot to end in .svg or .png'],
    [['--recorded', 'TABLE', '--space', 'SPACE', '--metric', 'acc', '--set', 'strategy.samples=0'], 'strategy.samples'],
    [['--recorded', 'TABLE', '--space', 'SPACE', '--metric', 'acc', '--bound', 'macs'], 'expected --bound as COST=VALUE'],
    [
      ['--recorded', 'TABLE', '--space', 'SPACE', '--metric', 'acc', '--bound', 'recorded:phone=1'],
      'expected one of acc_valid, acc_test, got phone',
    ],
    [['--recorded', 'TABLE', '--space', 'SPACE', '--metric', 'acc', '--bound', 'macs=1'], 'expected at least'],
    [['--recorded', 'TABLE', '--space', 'SPACE', '--metric', 'acc', '--costs', 'absent.csv'], 'absent.csv'],
  ])('refuses %j', async (args, message) => {
    const { code, stderr } = await run(...args.map((arg) => (arg === 'TABLE' ? table : arg === 'SPACE' ? SPACE : arg)))
    expect(code).toBe(2)
    expect(stderr).toContain(message)
  })

  test('says what no record can answer', async () => {
    const { code, stderr } = await onTable('--strategy', 'proxyless-g')
    expect(code).toBe(6)
    expect(stderr).toContain('gradients of gates and mixtures and scales of batch-norms are of weights, and a recorded benchmark has none')
  })
})
