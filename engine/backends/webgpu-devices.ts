// Which of several GPUs Dawn takes. It knows them by name, and lists them where it is asked for one that is not there:
//
//   no suitable backends found
//   Available adapters:
//    * backend: 'vulkan', name: 'NVIDIA H200'

/** A name that no adapter has. */
const NO_ADAPTER = 'gatehouse lists adapters'
const LISTED = /^\s*\* backend: '([^']*)', name: '(.*)'\s*$/gm

type Listed = { readonly backend: string; readonly name: string }

/** The part of Dawn's binding that lists adapters. */
type DawnModule = { create(options: string[]): { requestAdapter(options: object): Promise<unknown> } }

/** What its message lists, in its order. */
function parseListing(message: string): Listed[] {
  return [...message.matchAll(LISTED)].map(([, backend = '', name = '']) => ({ backend, name }))
}

async function listAdapters(dawn: DawnModule): Promise<Listed[]> {
  try {
    await dawn.create([`adapter=${NO_ADAPTER}`]).requestAdapter({})
    return []
  } catch (error) {
    return parseListing((error as Error).message)
  }
}

type Choice = { readonly kind: 'options'; readonly options: string[] } | { readonly kind: 'unavailable'; readonly reason: string }

/** Dawn's options for adapter number `device` of the listing. */
function chooseAdapter(listed: readonly Listed[], device: number): Choice {
  const wanted = listed[device]
  const all = listed.map(({ name, backend }, index) => `${index} ${name} (${backend})`).join(', ')
  if (wanted === undefined) {
    return {
      kind: 'unavailable',
      reason: listed.length === 0 ? 'no graphics driver offers an adapter' : `there is no GPU ${device}; there are ${all}`,
    }
  }
  // It takes the first whose name has the text in it.
  const first = listed.findIndex(({ backend, name }) => backend === wanted.backend && name.includes(wanted.name))
  if (first !== device) {
    return {
      kind: 'unavailable',
      reason: `GPU ${device} cannot be told from GPU ${first} by its name (${all}); show this process that one alone, for example in a container`,
    }
  }
  return { kind: 'options', options: [`backend=${wanted.backend}`, `adapter=${wanted.name}`] }
}

export { chooseAdapter, type DawnModule, listAdapters, parseListing }
