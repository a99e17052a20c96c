import { StaticModel } from '../schema';
export default {
  name: 'Test Large 9',
  describe: (l) => ({
    description: l.text(`A model; it has no pricing: { here }`),
  }),
  status: 'GA',
  contextLength: '256k',
  ratings: {
    input: 4.0, output: 2.0 },
  pricing: {
    type: 'custom',
    free: false,
    input: [
      { type: 'range', price: 1.5, priceEur: 1.25, denominator: '/M Tokens' },
      { type: 'range', label: 'Cached input', price: 0.15, denominator: '/M Tokens' }, // since spring
    ],
    output: [{ type: 'range', price: 7.5, denominator: '/M Tokens' }],
  },
  identifiers: { apiNames: ['test-large-9', 'test-large-latest'] },
  legacy: false,
} as const satisfies StaticModel;
