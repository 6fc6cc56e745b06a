/** An entry of a table of rules for a kind of layer that the room of the table cannot do: it says why. */
type Refusal = { readonly refuses: string }

function refuses(reason: string): Refusal {
  return { refuses: reason }
}

/** A layer has no form in a format, or on a device; the message names it and says why. */
class RefusedLayerError extends Error {
  override readonly name = 'RefusedLayerError'
  readonly code = 'refused-layer'
}

type Refusable = { readonly id: string; readonly kind: string }

function refuseLayer({ id, kind }: Refusable, format: string, reason: string): never {
  throw new RefusedLayerError(`layer ${id} (${kind}) has no form in ${format}: ${reason}`)
}

/** The rule, unless it is a refusal: throws RefusedLayerError. */
function requireRule<Rule extends object>(layer: Refusable, rule: Rule | Refusal, format: string): Rule {
  return 'refuses' in rule ? refuseLayer(layer, format, rule.refuses) : rule
}

export { type Refusal, RefusedLayerError, refuseLayer, refuses, requireRule }
