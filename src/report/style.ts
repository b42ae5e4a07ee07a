/** The report's style sheet. Colours are `theme.ts`'s variables; sizes are relative to the reader's. */
import { variables } from './theme';

export function style(): string {
  return `:root{${variables('light')}}
@media screen and (prefers-color-scheme:dark){:root{${variables('dark')}}}
${rules}`;
}

const rules = `*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:66rem;padding:2.5rem 1.5rem 4rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:break-word}
.kicker{margin:0;color:var(--faint);font-size:.8rem;letter-spacing:.08em;text-transform:uppercase}
h1{margin:.1rem 0 .6rem;font-size:2rem;line-height:1.2;overflow-wrap:anywhere}
h2{margin:0 0 .25rem;font-size:1.3rem;line-height:1.3}
h3{margin:0 0 .6rem;font-size:.95rem;font-weight:400;overflow-wrap:anywhere}
.verdict{margin:0 0 1.4rem;max-width:46rem;font-size:1.2rem}
.alarm{padding:.7rem 1rem;border-left:.3rem solid var(--alarm);background:var(--panel);color:var(--alarm)}
section{margin-top:3rem}
.intro{margin:0 0 1rem;max-width:46rem;color:var(--faint)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.4rem,1fr));gap:.75rem;margin:0;padding:0;list-style:none}
.tiles li{display:flex;flex-direction:column;padding:.8rem .9rem;border-radius:.5rem;background:var(--panel)}
.tiles .name{color:var(--faint);font-size:.85rem}
.tiles .value{font-size:1.55rem;font-weight:600;line-height:1.35;font-variant-numeric:tabular-nums}
.tiles .note{color:var(--faint);font-size:.8rem;line-height:1.35}
.pair,.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1.5rem 2rem;align-items:start}
.pair{margin-top:1.5rem}
.half{margin-top:1.5rem;max-width:31rem}
.histograms{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,18rem),1fr));gap:1.25rem 1.5rem}
figure{margin:0;min-width:0}
figure>svg{display:block;width:100%;height:auto}
figcaption{margin-bottom:.35rem;font-weight:600;font-size:.95rem;overflow-wrap:anywhere}
.scroll{overflow-x:auto;background:linear-gradient(to left,var(--paper) 40%,transparent) right/2rem 100% no-repeat local,
linear-gradient(to left,var(--rule),transparent) right/.7rem 100% no-repeat scroll}
table{width:100%;border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{padding:.4rem .6rem;border-bottom:1px solid var(--rule);text-align:left;white-space:nowrap}
th:first-child{padding-left:0}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--faint);font-weight:400}
tbody th{font-weight:600}
tbody tr:last-child>*{border-bottom:0}
.right{text-align:right}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.35rem 1rem;margin:1.2rem 0 0;font-size:.92rem}
.facts dt{color:var(--faint)}
.facts dd{margin:0;overflow-wrap:anywhere}
.glossary{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));gap:1rem 2rem;margin:.6rem 0 0}
.glossary dt{font-weight:600}
.glossary dd{margin:.1rem 0 0;color:var(--faint);font-size:.95rem}
.swatches{margin:0 0 .8rem;font-size:.92rem}
.swatches i{display:inline-block;width:.9rem;height:.7rem;margin:0 .4rem 0 0;border:2px solid;opacity:.95;-webkit-print-color-adjust:exact;print-color-adjust:exact}
.swatches i+i,.swatches i.pruned{margin-left:1rem}
.swatches .dense{border-color:var(--dense)}
.swatches .pruned{border-color:var(--pruned)}
.exhibits{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:1rem}
.exhibit{padding:.9rem;border-radius:.5rem;background:var(--panel)}
.exhibit p{margin:.6rem 0 0;font-size:.9rem}
.triple{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:.6rem}
.triple img{display:block;width:100%;height:auto;border:1px solid var(--rule);image-rendering:pixelated}
.triple figcaption{margin:.3rem 0 0;font-size:.82rem;font-weight:400;line-height:1.35;color:var(--faint)}
.triple figcaption span{color:var(--ink)}
.triple figcaption .wrong{color:var(--alarm)}
details{margin-top:1rem}
summary{cursor:pointer;font-weight:600}
pre{margin:.5rem 0 0;padding:.9rem;overflow-x:auto;border-radius:.5rem;background:var(--panel);font-size:.85rem;line-height:1.45}
@media (max-width:36rem){body{padding:1.5rem 1rem 3rem}h1{font-size:1.6rem}.verdict{font-size:1.08rem}
th,td{padding:.35rem .45rem}table{font-size:.85rem}.scroll{margin-right:-1rem}
th[scope=row]{white-space:normal}
td:not(.right){white-space:normal}
.facts{grid-template-columns:minmax(0,1fr);gap:0}.facts dd{margin-bottom:.5rem}}
@media print{:root{--paper:#fff;font-size:9.5pt}body{max-width:none;padding:0}section{margin-top:2.2rem}
.pair,.charts{grid-template-columns:1fr 1fr}.histograms,.exhibits,.glossary{grid-template-columns:repeat(3,1fr)}
.tiles{grid-template-columns:repeat(6,1fr)}.tiles .value{font-size:1.3rem}.exhibit{padding:.7rem}.intro{break-after:avoid}
.tiles li,.exhibit,pre{border:1px solid var(--rule)}
figure,.exhibit,.tiles,tr,.glossary div{break-inside:avoid}h2,h3{break-after:avoid}.scroll,pre{overflow:visible}
pre{white-space:pre-wrap}details::details-content{content-visibility:visible;block-size:auto}}`;
