# One SVG a scenario from plot.dat of the current directory: bars of the medians
# with the lowest and highest, grouped by case. Run by bench/run, with
# scenario, unit, first and last (the blocks of plot.dat) set.
set terminal svg size 900, 420 dynamic font 'sans-serif,12' background 'white'
set output scenario . '.svg'
set title scenario noenhanced
set style data histogram
set style histogram errorbars gap 1.5 lw 1
set style fill solid 0.85 noborder
set boxwidth 0.9
set yrange [0:*]
set ylabel unit
set grid y
set key outside right top noenhanced
set xtics noenhanced
plot for [i = first:last] 'plot.dat' index i using 2:3:4:xtic(1) title columnheader(2)
