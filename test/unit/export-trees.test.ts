// Networks of trees in the form of ProxylessNAS's authors, their PyramidTreeNet, written and read by `gatehouse export` and `gatehouse import`.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readModelFolder, writeModelFolder } from '../../models/model-folder.ts'
import { architectureCosts, createSpace, parseArchitecture, spaceRefSchema } from '../../search-space/index.ts'
import { runGatehouse } from '../fixtures/command.ts'
import { readSafetensors } from '../fixtures/read-safetensors.ts'
import { makeModel } from '../fixtures/trained-models.ts'

const model = makeModel({
  space: { preset: 'tree-mini', stages: 2, name: 'trees', input: [16, 16, 3], blocks: 1 },
  architecture: 'trees:((dw3(id,max3),avg3(dw5,dw7)),(id(dil3,id),dw7(avg3,max3)));((max3(id,id),id(dw3,id)),(dw5(dw5,avg3),dw3(id,max3)))',
})
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-trees-'))
  writeModelFolder(join(folder, 'model'), model)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const gatehouse = (text: string) => runGatehouse(text.split(' '), { folder, rows: () => 40 })
const exportTo = (source: string, out: string) => gatehouse(`export --model ${source} --format proxylessnas --out ${out}`)
const config = (path: string) => readFileSync(join(folder, path, 'net.config'), 'utf8')
const state = (path: string) => readSafetensors(readFileSync(join(folder, path, 'state_dict.safetensors'))).tensors

describe('networks of trees', () => {
  test('have the names and layouts of their authors’ classes', async () => {
    expect(await exportTo('model', 'named')).toMatchObject({ code: 0, err: '' })
    const tensors = state('named')
    const shapes = Object.fromEntries([...tensors].map(([name, { shape }]) => [name, shape.join('x')]))
    expect(shapes).toMatchObject({
      'blocks.0.layers.0.conv.weight': '8x3x3x3',
      'blocks.0.layers.1.bn.weight': '8',
      'blocks.1.in_bottle.bn.running_mean': '8',
      'blocks.1.in_bottle.conv.weight': '14x8x1x1',
      'blocks.1.cell.edges.0.bn.bias': '14',
      // Two groups of seven channels.
      'blocks.1.cell.edges.0.conv.weight': '28x7x3x3',
      'blocks.1.cell.child_nodes.0.branch_bns.1.running_var': '14',
      'blocks.1.cell.child_nodes.0.child_nodes.0.edges.0.bn.weight': '14',
      'blocks.1.cell.child_nodes.0.child_nodes.0.edges.0.depth_conv.weight': '14x1x3x3',
      'blocks.1.cell.child_nodes.0.child_nodes.0.edges.0.point_conv.weight': '14x14x1x1',
      'blocks.1.cell.child_nodes.0.child_nodes.0.child_nodes.1.edges.1.depth_conv.weight': '14x1x7x7',
      'blocks.1.out_bottle.conv.weight': '28x14x1x1',
      'blocks.1.final_bn.weight': '28',
      'blocks.3.layers.0.bn.weight': '40',
      'classifier.linear.weight': '10x40',
    })
    expect(Object.keys(shapes).filter((name) => name.startsWith('blocks.1.cell.child_nodes.0.child_nodes.0.edges.1'))).toEqual([])
    // Out, in, rows, columns of what is rows, columns, in, out here.
    const ours = model.weights.get('block1/root.filter')?.values ?? new Float32Array()
    const theirs = tensors.get('blocks.1.cell.edges.0.conv.weight')?.values ?? new Float32Array()
    const [out, inner, row, column] = [17, 5, 2, 1]
    expect(theirs[((out * 7 + inner) * 3 + row) * 3 + column]).toBe(ours[((row * 3 + column) * 7 + inner) * 28 + out])
  })

  test('are read back with the same weights and statistics, and written again as they were', async () => {
    await exportTo('model', 'round')
    const result = await gatehouse(
      'import --config round/net.config --weights round/state_dict.safetensors --name trees --out round/back --json',
    )
    expect(result).toMatchObject({ code: 0, err: '' })
    expect(JSON.parse(result.out)).toMatchObject({
      architecture: model.description.architecture,
      input: [16, 16, 3],
      classes: 10,
      ...architectureCosts(model.space, model.path),
    })
    const back = readModelFolder(join(folder, 'round/back'))
    const values = ({ weights }: typeof model) => new Map([...weights].map(([key, tensor]) => [key, tensor.values]))
    expect(values(back)).toEqual(values(model))
    expect(back.statistics).toEqual(model.statistics)
    // CIFAR-10's, which the published network was trained with.
    expect(back.description.normalisation.mean[0]).toBe(0.49139968)
    await exportTo('round/back', 'round/again')
    expect(config('round/again')).toBe(config('round'))
    expect(state('round/again')).toEqual(state('round'))
  })

  test('without weights give a space and an architecture that training takes, of other classes too', async () => {
    await exportTo('model', 'bare')
    const result = await gatehouse('import --config bare/net.config --classes 7 --name bare --out bare/space.json --json')
    expect(result).toMatchObject({ code: 0, err: '' })
    const { architecture } = JSON.parse(result.out) as { architecture: string }
    const space = createSpace(spaceRefSchema.parse(JSON.parse(readFileSync(join(folder, 'bare/space.json'), 'utf8'))))
    expect(space).toMatchObject({ name: 'bare', input: [16, 16, 3], classes: 7 })
    expect(parseArchitecture(space, architecture)).toEqual(model.path)
    expect(architectureCosts(space, model.path).macs).toBe(architectureCosts(model.space, model.path).macs - 3 * 40)
  })

  test('are refused with what is wrong: another size, settings that are not theirs, weights of another network', async () => {
    await exportTo('model', 'bad')
    expect((await gatehouse('import --config bad/net.config --input 32x32 --out bad/space.json')).err).toContain(
      '--input says 32x32, the network is for 16x16',
    )
    const text = config('bad')
    writeFileSync(join(folder, 'bad/net.config'), text.replace('"has_shuffle": true', '"has_shuffle": false'))
    expect((await gatehouse('import --config bad/net.config --out bad/space.json')).err).toContain(
      'expected true, got false (blocks[1].cell.edges[0].has_shuffle)',
    )
    writeFileSync(join(folder, 'bad/net.config'), text.replace('"ResidualTreeBlock"', '"Block"'))
    expect(await gatehouse('import --config bad/net.config --out bad/space.json')).toMatchObject({
      code: 2,
      err: expect.stringContaining('blocks[1].name'),
    })
    writeFileSync(join(folder, 'bad/net.config'), text.replaceAll('"kernel_size": 7', '"kernel_size": 5'))
    expect((await gatehouse('import --config bad/net.config --weights bad/state_dict.safetensors --out bad/model')).err).toContain(
      'expected blocks.1.cell.child_nodes.0.child_nodes.0.child_nodes.1.edges.1.depth_conv.weight of shape [14,1,5,5]',
    )
  })
})
