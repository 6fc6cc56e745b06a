import { defineCommand } from 'citty'
import { describe, expect, it } from 'vitest'

import { dispatch } from '../../command-line/dispatch.ts'

/** A root with a light command and one that is loaded when it is needed. */
function makeRoot() {
  const said: string[] = []
  const root = defineCommand({
    meta: { name: 'tool' },
    subCommands: {
      light: defineCommand({ meta: { name: 'light', description: 'Light.' }, run: () => void said.push('light') }),
      heavy: async () => {
        said.push('loaded')
        return defineCommand({
          meta: { name: 'heavy', description: 'Heavy.' },
          args: { flag: { type: 'string', description: 'a flag' } },
          run: ({ args }) => void said.push(`heavy ${args.flag}`),
        })
      },
    },
  })
  return { root, said }
}

describe('a subcommand that is a function', () => {
  it('is loaded when it runs, and its flags are checked as any', async () => {
    const { root, said } = makeRoot()
    await dispatch(root, ['heavy', '--flag', 'x'], 80)
    expect(said).toEqual(['loaded', 'heavy x'])
    await expect(dispatch(root, ['heavy', '--flg', 'x'], 80)).rejects.toThrow('unknown flag --flg; did you mean --flag?')
  })

  it('is not loaded for another command, nor for a mistyped one', async () => {
    const { root, said } = makeRoot()
    await dispatch(root, ['light'], 80)
    await expect(dispatch(root, ['hevy'], 80)).rejects.toThrow('unknown command "hevy"; did you mean heavy?; tool has: light, heavy')
    expect(said).toEqual(['light'])
  })

  it('is in the help', async () => {
    const { root } = makeRoot()
    expect(await dispatch(root, ['--help'], 80)).toMatch(/light\s+Light\.\n\s+heavy\s+Heavy\./)
    expect(await dispatch(root, ['heavy', '--help'], 80)).toContain('--flag VALUE')
  })
})
