// docs/search-config.md: every field of a search's settings, from the schema that checks them.

import * as z from 'zod'
import { searchConfigSchema } from '../protocol/index.ts'
import { createSpace, presetNames, presets } from '../search-space/index.ts'
import { GENERATED, renderCode, renderMarkdownTable } from './markdown.ts'

/** The part of JSON Schema that zod writes for these settings. */
type Schema = {
  readonly $ref?: string
  readonly $defs?: Readonly<Record<string, Schema>>
  readonly type?: 'string' | 'number' | 'integer' | 'boolean' | 'array' | 'object' | 'null'
  readonly description?: string
  readonly default?: unknown
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly prefixItems?: readonly Schema[]
  readonly items?: Schema | false
  readonly minItems?: number
  readonly maxItems?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
}

const root = z.toJSONSchema(searchConfigSchema, { io: 'input' }) as Schema

/** The schema itself; what stands beside a reference goes before what stands behind it. */
function follow(schema: Schema): Schema {
  if (schema.$ref === undefined) return schema
  const { $ref, ...beside } = schema
  const found = root.$defs?.[$ref.replace('#/$defs/', '')]
  if (!found) throw new Error(`the schema of a search refers to ${$ref}, which it does not define`)
  return { ...follow(found), ...beside }
}

const code = (value: unknown) => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``

function rangeOf(kind: string, schema: Schema): string {
  const { minimum, maximum, exclusiveMinimum } = schema
  const most = maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? null : maximum
  if (exclusiveMinimum !== undefined) return `${kind} above ${exclusiveMinimum}${most === null ? '' : `, at most ${most}`}`
  if (minimum !== undefined) return most === null ? `${kind} from ${minimum}` : `${kind}, ${minimum} to ${most}`
  return most === null ? kind : `${kind}, at most ${most}`
}

function countOf(least: number | undefined, most: number | undefined): string {
  if (most === undefined) return least === undefined ? '' : ` of ${least} or more`
  return ` of ${least ?? 0} to ${most}`
}

/** What a field may hold, in words. */
function typeOf(given: Schema): string {
  const schema = follow(given)
  const choices = schema.anyOf ?? schema.oneOf
  if (choices) return [...new Set(choices.map(typeOf))].join(', or ')
  if (schema.const !== undefined) return code(schema.const)
  if (schema.enum) return schema.enum.map(code).join(', ')
  switch (schema.type) {
    case 'string':
      if (schema.pattern !== undefined) return `text like \`${schema.pattern}\``
      return schema.maxLength === undefined ? 'text' : `text of ${schema.minLength ?? 0} to ${schema.maxLength} characters`
    case 'integer':
      return rangeOf('whole number', schema)
    case 'number':
      return rangeOf('number', schema)
    case 'boolean':
      return '`true`, `false`'
    case 'null':
      return '`null`'
    case 'array':
      if (schema.prefixItems) return `list [${schema.prefixItems.map(typeOf).join('; ')}]`
      return `list${countOf(schema.minItems, schema.maxItems)}${schema.items ? `: ${typeOf(schema.items)}` : ''}`
    case 'object':
      return 'object'
    default:
      throw new Error(`no words for this part of the schema: ${JSON.stringify(schema)}`)
  }
}

type Row = readonly [field: string, type: string, initial: string, description: string]

function defaultOf(schema: Schema, isRequired: boolean): string {
  if (isRequired) return 'required'
  if (schema.default === undefined) return '–'
  const { default: value } = schema
  const isEmptyObject = typeof value === 'object' && value !== null && Object.keys(value).length === 0
  return isEmptyObject ? 'those of its fields' : code(value)
}

/** The objects whose fields a field has below it: itself, its items, or the one of its choices that is an object. */
function objectWithin(given: Schema): { schema: Schema; suffix: string } | null {
  const schema = follow(given)
  if (schema.properties) return { schema, suffix: '' }
  if (schema.items) {
    const item = objectWithin(schema.items)
    return item && { schema: item.schema, suffix: `[]${item.suffix}` }
  }
  const objects = (schema.anyOf ?? []).flatMap((choice) => objectWithin(choice) ?? [])
  return objects.length === 1 ? (objects[0] ?? null) : null
}

/** One row per field, those of nested objects behind it. A choice of several objects is left to a section of its own. */
function rowsOf(given: Schema, prefix: string): Row[] {
  const schema = follow(given)
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
    const field = follow(member)
    const path = `${prefix}${name}`
    const row: Row = [code(path), typeOf(field), defaultOf(field, schema.required?.includes(name) === true), field.description ?? '']
    const inner = objectWithin(field)
    return [row, ...(inner ? rowsOf(inner.schema, `${path}${inner.suffix}.`) : [])]
  })
}

const TITLES = ['field', 'value', 'default', 'meaning']

function section(title: string, given: Schema, prefix: string): string[] {
  const { description } = follow(given)
  return ['', `## ${title}`, '', ...(description ? [description, ''] : []), renderMarkdownTable(TITLES, rowsOf(given, prefix))]
}

/** A field that is one of several objects, told apart by one of their fields. */
function variants(title: string, given: Schema, prefix: string): string[] {
  const choices = (follow(given).oneOf ?? []).map(follow)
  return [
    '',
    `## ${title}`,
    ...choices.flatMap((choice) => {
      const [name, tag] = Object.entries(choice.properties ?? {})[0] ?? ['', {}]
      return [
        '',
        `### \`${prefix}${name} = ${String(tag.const)}\``,
        '',
        ...(choice.description ? [choice.description, ''] : []),
        renderMarkdownTable(TITLES, rowsOf(choice, prefix)),
      ]
    }),
  ]
}

function member(given: Schema, ...names: readonly string[]): Schema {
  return names.reduce((schema, name) => {
    const found = follow(schema).properties?.[name]
    if (!found) throw new Error(`the settings of a search have no field ${names.join('.')}`)
    return found
  }, given)
}

/** The choice of `space` that has this field and no preset to take the others from. */
function spaceWith(field: string): Schema {
  const choices = (follow(member(root, 'space')).anyOf ?? []).map(follow)
  const choice = choices.find(({ properties }) => properties && field in properties && !('preset' in properties))
  if (!choice) throw new Error(`the schema of a search has no space that gives all settings and ${field}`)
  return choice
}

/** The settings of a family that has a tag. */
function spaceOfFamily(family: string): Schema {
  const choices = (follow(member(root, 'space')).anyOf ?? []).map(follow)
  const choice = choices.find(({ properties }) => properties?.family?.const === family)
  if (!choice) throw new Error(`the schema of a search has no space of the family ${family}`)
  return choice
}

const isOf = (family: string) => (config: object) => 'family' in config && config.family === family

/** The presets of one family side by side; `isOfFamily` is asked for their settings. */
function presetsTable(isOfFamily: (config: object) => boolean): string {
  const names = presetNames.filter((name) => isOfFamily(presets[name]))
  const values = names.map((name) => new Map<string, unknown>(Object.entries(presets[name])))
  const fields = new Set(values.flatMap((fieldsOfOne) => [...fieldsOfOne.keys()]))
  const spaces = names.map((name) => createSpace(name))
  const settings = [...fields].map((field) => [code(field), ...values.map((each) => (each.has(field) ? code(each.get(field)) : '–'))])
  const count = (numbers: readonly number[]) => numbers.reduce((sum, value) => sum + value, 0)
  const sizes = [
    ['decisions', ...spaces.map((space) => String(space.decisions.length))],
    ['options over all decisions', ...spaces.map((space) => String(count(space.decisions.map(({ options }) => options.length))))],
    [
      'parameters of the supernet',
      ...spaces.map((space) =>
        count(space.weightSpecs.map(({ shape }) => shape.reduce((product, size) => product * size, 1))).toLocaleString('en-US'),
      ),
    ],
    ['keys that a latency table needs', ...spaces.map((space) => String(space.measurableOperations().length))],
  ]
  return renderMarkdownTable(['', ...names.map(code)], [...settings, ...sizes])
}

const minimal = {
  space: 'fashion-mini',
  dataset: { name: 'fashion-mnist' },
  latency: { targetMs: 2, table: { name: 'my-machine' }, loss: { kind: 'add#abs' } },
}

function renderSearchConfigPage(): string {
  searchConfigSchema.parse(minimal)
  const { properties = {} } = follow(root)
  const simple = Object.entries(properties).filter(([, schema]) => !objectWithin(schema) && !follow(schema).oneOf && !follow(schema).anyOf)
  const operations = member(spaceWith('operations'), 'operations')
  const { items } = follow(member(spaceWith('blocks'), 'blocks'))
  const blocks = items ? (follow(items).anyOf ?? []).filter(objectWithin) : []
  const listed = ['space', 'bounds'].map((name) => [name, member(root, name)] as const)
  const own = { ...follow(root), properties: Object.fromEntries([...simple, ...listed]) }
  return [
    GENERATED,
    '',
    '# Settings of a search',
    '',
    'What `gatehouse search create --config FILE` reads and `POST /v1/searches` takes. Unknown fields are refused. The least',
    'that a search needs:',
    '',
    renderCode(JSON.stringify(minimal, null, 2), 'json'),
    '',
    'On the command line any field can be set by its path: `--set training.learningRate=0.1`.',
    '',
    '## Checked besides each field',
    '',
    '- The three numbers of `training.shares` are above 0 and sum to 1; an agent whose data leaves a share smaller than one',
    '  mini-batch ends with an error.',
    '- The latency table has an entry for every operation of the space.',
    '- Each of `bounds` is on another cost, and leaves an architecture that keeps it.',
    '- With the loss `mul#log`, the target and the fastest architecture of the space are above 1 ms.',
    '- `strategy.initialAlpha` has a row per block and a number per operation.',
    '- No tensor of the space, no number of shards and no task is too large to be stored or sent; the refusal names the limit.',
    ...section('Whole search', own, ''),
    ...section('`dataset`', member(root, 'dataset'), 'dataset.'),
    ...section('`latency`', { ...follow(member(root, 'latency')) }, 'latency.'),
    ...variants('`latency.loss`', member(root, 'latency', 'loss'), 'latency.loss.'),
    ...variants('`strategy`', member(root, 'strategy'), 'strategy.'),
    ...section('`training`', member(root, 'training'), 'training.'),
    ...section('`tasks`', member(root, 'tasks'), 'tasks.'),
    ...section('`weights`', member(root, 'weights'), 'weights.'),
    ...section('`snapshots`', member(root, 'snapshots'), 'snapshots.'),
    '',
    '## `space`',
    '',
    'One of four forms: the name of a preset; an object with `preset` and the settings that differ from it (the changed space',
    'is called `<preset>-custom` unless `name` is among them); an object with all settings; or a fixed network, which names',
    'every block. With all settings, a space of MBConvs:',
    '',
    renderMarkdownTable(TITLES, rowsOf(spaceWith('kernels'), 'space.')),
    '',
    'Every expansion is offered with every kernel. Where other operations are wanted, or another order, `operations` lists them',
    'in place of `kernels`, `expansions` and `zero`, also in a preset with settings changed:',
    '',
    renderMarkdownTable(TITLES, rowsOf({ properties: { operations }, required: ['operations'] }, 'space.')),
    '',
    'A fixed network has one operation per block and nothing to choose, but is trained, measured and exported like any other',
    'architecture:',
    '',
    renderMarkdownTable(TITLES, rowsOf(spaceWith('blocks'), 'space.')),
    '',
    'A block is `zero`, an identity or an MBConv:',
    '',
    ...blocks.flatMap((block) => [renderMarkdownTable(TITLES, rowsOf(block, 'space.blocks[].')), '']),
    'A space of the family `cell` repeats one cell, as NAS-Bench-201 (Dong and Yang 2020) does; what each edge of the cell computes is',
    'one decision, the same in all cells:',
    '',
    renderMarkdownTable(TITLES, rowsOf(spaceOfFamily('cell'), 'space.')),
    '',
    'A space of the family `darts` repeats two cells, a normal one and one that halves the image, as DARTS (Liu, Simonyan and Yang 2019) does. An',
    'architecture is written as in `normal=|sep_conv_3x3~0|skip_connect~1|+|…|;reduce=|…|`, node by node, inputs 0 and 1 being the two cells before;',
    "what the authors write, `Genotype(normal=[('sep_conv_3x3', 0), …], …)`, is read as well, and printed by `gatehouse derive` and `gatehouse space show`.",
    'Supernet strategies derive as the authors do: every node keeps two inputs, those whose strongest operation, `none` aside, is the most probable:',
    '',
    renderMarkdownTable(TITLES, rowsOf(spaceOfFamily('darts'), 'space.')),
    '',
    'A space of the family `fbnet-v2` has rows of MBConvs that choose kernel, non-linearity, attention, expansion and width, as those of FBNetV2 (Wan',
    'et al. 2020) and FP-NAS (Yan et al. 2021) do. An architecture is written as in `k3-swish-s1-e2.25-c24,…`: kernel 3 (or `skip`), swish,',
    'squeeze-and-excitation (`s2`, `s4`: Split-Attention, `s0`: none), expansion 2.25, 24 channels. Its options cannot run side by side, so',
    'that `proxyless-g`, `darts` and `one-shot` are refused:',
    '',
    renderMarkdownTable(TITLES, rowsOf(spaceOfFamily('fbnet-v2'), 'space.')),
    '',
    'A space of the family `aggregation` has units that read several of the outputs before them, as DenseNet (Huang et al. 2017) and SparseNet (Zhu et',
    'al. 2018) do; what they make of each is fixed, or a decision. An architecture is written as in `stage1=|+|concat~0|sum~1|+…;stage2=…`, for each',
    'unit from the second on and for what follows the stage, output 0 being what the stage begins with; of a network with nothing to choose it is `whole`:',
    '',
    renderMarkdownTable(TITLES, rowsOf(spaceOfFamily('aggregation'), 'space.')),
    '',
    'A space of the family `pyramid-tree` has a tree of operations in each block of a PyramidNet, as ProxylessNAS (Cai, Zhu and Han 2019) has for',
    'CIFAR-10. An architecture is written block by block, a node as its two branches in brackets, a branch as the operation of its edge and the node',
    'behind it: `((dw3(id,max3),avg3(dw5,dw5)),(id(dil3,id),dw7(avg3,max3)));…`. Edges of levels that are `identity` have no name:',
    '',
    renderMarkdownTable(TITLES, rowsOf(spaceOfFamily('pyramid-tree'), 'space.')),
    '',
    'A space of the family `graph` is one network, written out layer by layer, as `gatehouse transform` writes it ([training.md](training.md#growing-a-network)):',
    '',
    renderMarkdownTable(TITLES, rowsOf(spaceOfFamily('graph'), 'space.')),
    '',
    'The presets, and what follows from their settings:',
    '',
    presetsTable((config) => !('family' in config)),
    '',
    presetsTable(isOf('cell')),
    '',
    presetsTable(isOf('darts')),
    '',
    presetsTable(isOf('fbnet-v2')),
    '',
    presetsTable(isOf('aggregation')),
    '',
    presetsTable(isOf('pyramid-tree')),
    '',
    'Of `fp-nas-l0` its paper gives the images of 224 pixels, 27 blocks, Split-Attention and 2e32 networks; its rows are chosen so that they have these.',
    '',
  ].join('\n')
}

/** A table of all fields of a schema of objects, which refers to no definitions. */
function renderFieldTable(schema: unknown): string {
  return renderMarkdownTable(TITLES, rowsOf(schema as Schema, ''))
}

export { renderFieldTable, renderSearchConfigPage }
